"""How figures and words are written, and which accuracy is the headline."""

from bench.kit import markdown
from bench.report import content


def test_numbers_are_written_with_units():
    assert [markdown.count(value) for value in (None, 96, 12_288, 1.5e6, 1.82e9)] == [
        "–",
        "96",
        "12.3 k",
        "1.5 M",
        "1.82 G",
    ]
    assert markdown.number(None) == "–" and markdown.number(1234.5) == "1,234.5"


def test_what_rounds_to_zero_is_not_below_it():
    assert markdown.number(-1e-15, sign="+") == "+0.0" and markdown.number(-0.04) == "0.0"
    assert markdown.number(-0.06) == "−0.1"


def test_one_thing_is_none_of_several():
    assert [markdown.counted(number, "run") for number in (0, 1, 2, 1000)] == [
        "0 runs",
        "1 run",
        "2 runs",
        "1,000 runs",
    ]


def test_durations_have_the_unit_that_a_person_would_take():
    texts = [markdown.duration(seconds) for seconds in (0.4, 1, 119, 120, 750, 7199, 11_160)]
    assert texts == ["less than a second", "1 s", "119 s", "2.0 min", "12.5 min", "120.0 min", "3.1 h"]


def test_words_stand_left_and_figures_right():
    assert markdown.table(["a", "b", "c"], [["x", "1", "y"]], text=(0, 2)).splitlines()[1] == "|:--|--:|:--|"
    assert markdown.table(["a", "b"], []).splitlines()[1] == "|:--|--:|"


def test_headline_is_knn_or_the_mean_of_both_directions():
    assert content.headline("classification", {"knn_top1": 70.0}) == 70.0
    assert content.headline("captions", {"image_to_text_r1": 60.0, "text_to_image_r1": 40.0}) == 50.0
    assert content.headline("captions", {"image_to_text_r1": 60.0}) is None
