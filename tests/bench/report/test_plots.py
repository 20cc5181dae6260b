"""The plots: what they draw, checked as numbers; that it is drawn, in the SVG; and that it is drawn alike each time."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bench.metrics import HEADLINE
from bench.plan import matrix
from bench.report import plots
from bench.report.content import Report
from bench.report.themes import DARK, LIGHT, THEMES
from tests.bench.made import made
from tests.breadth import some

CASES = matrix.cases(matrix.load(), "pocket", controls=("untrained", "teacher"))
CONTROLLED = matrix.cases(matrix.load(), "pocket", controls=("no-distillation",))
PLOTS = [plots.accuracy_against_size, plots.learning_curves, plots.in_batch]
SIZES = [2, 8, 64, 500]


def entry(case, accuracy=70.0, **changes):
    """A finished record with a teacher of 80 % and, of captions, an accuracy within a batch that falls with its size."""
    falling = [100.0] * 4 if case.kind == "classification" else [90.0, 70.0, 40.0, 10.0]
    in_batch = {who: [list(pair) for pair in zip(SIZES, falling, strict=True)] for who in ("student", "teacher")}
    teacher = dict.fromkeys(HEADLINE[case.kind], 80.0) | {"deployed_mb": 1.7}
    return made(case, accuracy, untrained=10.0, **{"in_batch": in_batch, "teacher": teacher} | changes)


def case(name, **changes):
    return replace(next(one for one in CASES if one.id == name), **changes)


def report(*chosen):
    return Report("pocket", [*chosen])


def everything():
    return report(*((one, entry(one)) for one in CASES))


def drawn_in(path):
    """The identifiers and the texts in an SVG."""
    tree = ElementTree.parse(path)
    texts = ["".join(node.itertext()).strip() for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    return {node.get("id") for node in tree.iter() if node.get("id")}, texts


def test_a_shorter_training_stands_in_its_curve_but_not_beside_longer_ones(tmp_path):
    short, long = case("shapes-dino-resnet-5ep"), case("shapes-dino-cbam-10ep")
    chosen = report((short, entry(short)), (long, entry(long)))
    plots.learning_curves(chosen, tmp_path / "curves.svg", LIGHT)
    plots.accuracy_against_size(chosen, tmp_path / "sizes.svg", LIGHT)
    assert {"shapes-dino-resnet", "shapes-dino-cbam"} <= drawn_in(tmp_path / "curves.svg")[0]
    assert "shapes-dino-resnet" not in drawn_in(tmp_path / "sizes.svg")[0]


def test_no_two_students_look_alike():
    base = case("shapes-dino-resnet-10ep")
    losses = [replace(base, loss=f"loss-{letter}", several_losses=True) for letter in "abcdefgh"]
    for theme in THEMES:
        style = theme.styles(report(*everything().cases, *((one, entry(one)) for one in losses)).longest)
        assert len(set(style.values())) == len(style) > 12
        assert theme.styles([])["resnet"] == style["resnet"]


EACH = [(plot, theme) for plot in PLOTS for theme in THEMES]


@pytest.mark.parametrize(("plot", "theme"), some(EACH, [(PLOTS[0], DARK), (PLOTS[1], DARK), (PLOTS[2], LIGHT)]))
def test_every_student_of_every_teacher_is_drawn_and_named_in_a_small_file(tmp_path, plot, theme):
    assert plot(everything(), tmp_path / "plot.svg", theme) is True
    names, texts = drawn_in(tmp_path / "plot.svg")
    assert {f"{one.dataset}-{one.teacher}-{one.student}" for one in CASES} <= names
    title = "dino and beit on shapes" if plot is plots.in_batch else "dino on shapes"
    assert {one.student for one in CASES} | {"the teacher itself", title, "10 epochs"} <= set(texts)
    svg = (tmp_path / "plot.svg").read_text()
    assert len(svg) < 300_000
    other = DARK if theme is LIGHT else LIGHT
    assert all(colour in svg for colour in (theme.background, theme.ink, theme.students["cbam"]))
    foreign = (other.background, other.ink, *other.students.values(), "#000000", ": black")
    assert not any(colour in svg for colour in foreign)


@pytest.mark.parametrize(("points", "expected"), [
    ([(2, 80), (1, 70), (3, 75)], [(1, 70), (2, 80)]),  # larger and less accurate
    ([(1, 70), (2, 70), (1, 60)], [(1, 70)]),  # larger and as accurate; as large and less accurate
    ([(3, 90)], [(3, 90)]),
])  # fmt: skip
def test_the_front_has_what_nothing_smaller_equals(points, expected):
    assert plots.front(points) == expected


@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
def test_gains_have_a_row_for_each_student_that_has_the_control(tmp_path, theme):
    own = [one for one in CONTROLLED if (one.teacher, one.epochs) == ("dino", 10) and one.student in ("resnet", "cbam")]
    several = [replace(one, seed=seed, names_seed=True) for one in own for seed in range(3)]
    alone = {"resnet": 60.0, "cbam": 69.5}  # of which one is beyond the spread of 70, 71, 72

    def accuracy(one):
        return alone[one.student] + (one.seed == 1) * 3 if one.control else 70.0 + one.seed

    chosen = report(*((one, entry(one, accuracy(one))) for one in several))
    assert plots.gains(chosen, tmp_path / "plot.svg", theme)
    names, texts = drawn_in(tmp_path / "plot.svg")
    assert {"shapes-dino-resnet", "shapes-dino-cbam"} <= names and {"dino on shapes", "resnet", "cbam"} <= set(texts)
    assert plots.INTERVAL in texts and plots.ONE_SEED not in texts
    fills = (tmp_path / "plot.svg").read_text()
    assert f"fill: {theme.students['resnet']}" in fills and f"fill: {theme.students['cbam']}" not in fills
    first = report(*((one, record) for one, record in chosen.cases if one.seed == 0))
    plots.gains(first, tmp_path / "plot.svg", theme)
    assert plots.ONE_SEED in drawn_in(tmp_path / "plot.svg")[1]


def test_there_is_no_plot_of_gains_without_the_control(tmp_path):
    (tmp_path / "plot.svg").write_text("of older records")
    assert plots.gains(everything(), tmp_path / "plot.svg", LIGHT) is False and not list(tmp_path.iterdir())


@pytest.mark.parametrize("plot", PLOTS)
def test_the_same_records_give_the_same_bytes(tmp_path, plot):
    one = case("scenes-blip-cbam-5ep")
    for name in ("first.svg", "second.svg"):
        assert plot(report((one, entry(one))), tmp_path / name, LIGHT) is True
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()


@pytest.mark.parametrize("plot", PLOTS)
def test_nothing_is_written_without_a_result_and_an_older_plot_goes(tmp_path, plot):
    path = tmp_path / "plot.svg"
    path.write_text("of older records")
    assert plot(report(*((one, None) for one in CASES)), path, LIGHT) is False
    assert not path.exists()
    assert plot(report(), path, LIGHT) is False and not list(tmp_path.iterdir())


@pytest.mark.parametrize("plot", PLOTS[:2])
def test_the_spread_is_explained_where_there_are_names_seed_and_only_there(tmp_path, plot):
    base = case("shapes-dino-cbam-5ep", names_seed=True)
    seeds = [replace(base, seed=seed) for seed in range(3)]
    plot(report(*((one, entry(one, 70.0 + one.seed)) for one in seeds)), tmp_path / "several.svg", LIGHT)
    plot(report((seeds[0], entry(seeds[0]))), tmp_path / "one.svg", LIGHT)
    several, one = (drawn_in(tmp_path / name)[1] for name in ("several.svg", "one.svg"))
    assert plots.SPREAD in several and "5 epochs, n = 3" in several
    assert plots.SPREAD not in one and "5 epochs" in one


@pytest.mark.slow
def test_a_hundred_epochs_with_three_seeds_stay_small(tmp_path):
    cases = [replace(one, epochs=100, seed=seed) for one in CASES if one.epochs == 10 for seed in range(3)]
    chosen = report(*((one, entry(one, 60.0 + 3 * one.seed)) for one in cases))
    assert plots.learning_curves(chosen, tmp_path / "plot.svg", LIGHT)
    assert (tmp_path / "plot.svg").stat().st_size < 300_000


def test_in_batch_accuracy_is_drawn_with_chance_and_says_that_it_is_always_100_for_classes(tmp_path):
    classes, captions = case("shapes-dino-cbam-5ep"), case("scenes-clip-cbam-5ep")
    plots.in_batch(report((classes, entry(classes))), tmp_path / "classes.svg", LIGHT)
    plots.in_batch(report((captions, entry(captions))), tmp_path / "captions.svg", LIGHT)
    texts = [" ".join(drawn_in(tmp_path / name)[1]) for name in ("classes.svg", "captions.svg")]
    assert "every line lies at 100" in texts[0] and "every line lies at 100" not in texts[1]
    for text in texts:
        assert "chance, 100 / B" in text and "B of this profile" in text and "batch size B" in text


def test_records_without_in_batch_accuracy_are_left_out_of_its_plot(tmp_path):
    with_it, without = case("shapes-dino-cbam-5ep"), case("shapes-dino-resnet-5ep")
    chosen = report((with_it, entry(with_it)), (without, entry(without, in_batch={})))
    assert plots.in_batch(chosen, tmp_path / "plot.svg", LIGHT)
    names, _ = drawn_in(tmp_path / "plot.svg")
    assert "shapes-dino-cbam" in names and "shapes-dino-resnet" not in names


def test_a_teacher_without_a_row_of_its_own_leaves_no_line(tmp_path):
    one = case("shapes-dino-cbam-5ep")
    for plot in PLOTS[1:]:
        lines = []
        for teacher in ({"knn_top1": 80.0}, {}):
            record = entry(one, teacher=teacher)
            if not teacher:
                del record.in_batch["teacher"]
            assert plot(report((one, record)), tmp_path / "plot.svg", LIGHT)
            lines.append((tmp_path / "plot.svg").read_text().count(f"stroke: {LIGHT.teacher}"))
        assert lines == [2, 1]  # the panel's and the legend's; the legend's


def luminance(colour):
    """Relative luminance as WCAG 2.2 defines it."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_is_that_of_known_pairs():
    # Black on white is 21 by definition; #767676 is the lightest grey that has 4.5 on white.
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") >= 4.5 > contrast("#777777", "#ffffff")


@pytest.mark.parametrize("theme", THEMES, ids=["light", "dark"])
def test_every_colour_stands_out_from_its_background(theme):
    assert contrast(theme.ink, theme.background) >= 4.5  # text
    for colour in (theme.teacher, *theme.students.values(), *theme.others):
        assert contrast(colour, theme.background) >= 3, colour
