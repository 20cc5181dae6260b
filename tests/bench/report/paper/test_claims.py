"""The paper's claims: verdicts that follow from measured figures and from its own, and how the report shows them."""

import pytest

from bench.plan import matrix
from bench.report.content import Report, headline
from bench.report.paper import claim_figures, claims, publication
from bench.report.paper.claims import VERDICTS, counts
from tests.bench.made import made
from tests.bench.report.paper.claimed import ABOVE, DATASETS, STUDENTS, entry, measured

pytestmark = pytest.mark.usefixtures("sizes")
GAIN = "{gain: {teacher: blip, student: attention}, below: -5}"


@pytest.mark.parametrize(
    ("cbam", "bound", "expected"),
    [
        (71.0, "above", "**holds**: blip cbam 5 ep 71.00 against attention 70.00"),
        (65.0, "above", "**fails**: blip cbam 5 ep 65.00 against attention 70.00"),
        (70.0, "above", "**fails**: blip cbam 5 ep 70.00 against attention 70.00"),
        (70.0, "at_least", "**holds**: blip cbam 5 ep 70.00 against attention 70.00"),
    ],
)
def test_a_ranking_holds_only_above_every_other_and_names_the_nearest(cbam, bound, expected):
    cases = [entry("blip", name, 5, own) for name, own in (("projection", 60.0), ("attention", 70.0), ("cbam", cbam))]
    assert measured(cases, ABOVE.replace("above", bound)) == expected


@pytest.mark.parametrize("status", ["oom", "crashed", "failed", "timeout", None])
def test_a_claim_is_not_tested_while_one_of_its_records_is_not_done(status):
    chosen = [entry("blip", "projection", 5, 90.0), entry("blip", "cbam", 5, 70.0)]
    if status:
        chosen.append(entry("blip", "attention", 5, 60.0, status=status))
    assert measured(chosen, ABOVE).startswith("**not tested**: blip cbam 5 ep against attention: ")


def seeds(student, *accuracies):
    return [entry("blip", student, 5, accuracy, seed=seed, names_seed=True) for seed, accuracy in enumerate(accuracies)]


@pytest.mark.parametrize(
    ("cbam", "attention", "verdict"),
    [
        # Standard deviations with ddof 1: of (80, 84) √8 = 2.83, with ddof 0 it would be 2; of (78.5, 80.5) √2 = 1.41.
        ((80, 84), (78.5, 80.5), "**within the spread**: blip cbam 5 ep 82.00 ± 2.83 against attention 79.50 ± 1.41"),
        ((78.5, 80.5), (80, 84), "**within the spread**: blip cbam 5 ep 79.50 ± 1.41 against attention 82.00 ± 2.83"),
        ((80, 84), (78, 80), "**holds**: blip cbam 5 ep 82.00 ± 2.83 against attention 79.00 ± 1.41"),
        ((78, 80), (80, 84), "**fails**: blip cbam 5 ep 79.00 ± 1.41 against attention 82.00 ± 2.83"),
    ],
)
def test_over_seeds_a_difference_counts_only_beyond_the_larger_deviation(cbam, attention, verdict):
    chosen = [*seeds("cbam", *cbam), *seeds("attention", *attention), *seeds("projection", 60, 60)]
    assert measured(chosen, ABOVE) == verdict


def test_a_missing_seed_leaves_a_claim_untested():
    chosen = [*seeds("cbam", 80, 84), *seeds("attention", 70, 70), *seeds("projection", 60, 60)]
    chosen[0] = (chosen[0][0], None)
    assert measured(chosen, ABOVE) == "**not tested**: blip cbam 5 ep: not run"


def test_controls_losses_and_further_datasets_are_left_out():
    own = [entry("dino", "projection", 10, 70.0)]
    others = [
        entry("dino", "projection", 10, 10.0, control="no-distillation"),
        entry("dino", "projection", 10, 10.0, several_losses=True),
    ]
    papers = entry("dino", "projection", 10, 50.0, dataset="tiny-imagenet")
    test = "{accuracy: {teacher: dino, student: projection, epochs: 10}, above: 60}"
    assert measured(others + own, test) == "**holds**: dino projection 10 ep 70.00"
    assert measured([*own, papers], test) == "**fails**: dino projection 10 ep 50.00"


def test_the_headline_is_judged_by_its_own_figures():
    chosen = [entry("dino", "projection", 10, 100.0, top=82.8), entry("clip", "projection", 10, 99.0, top=40.0)]
    test = "{accuracy: {teacher: [dino, clip], student: projection, epochs: 10}, at_least: 99}"
    assert measured(chosen, test).startswith("**holds**")
    assert measured(chosen, test, score=headline) == (
        "**fails**: dino projection 10 ep 82.80; clip projection 10 ep 40.00"
    )


CHANGE = [entry("blip", "attention", 5, 80.0), entry("blip", "attention", 10, 74.0)]
OWN = [entry("dino", "projection", 10, 86.0, own=90.0)]
# Teachers are compared by their pass, which many records share.
PASSES = [entry("blip", "cbam", epochs, 1.0, seconds=9.0) for epochs in (5, 10)]
PASSES += [entry("clip", "cbam", 5, 1.0, seconds=4.0), entry("clip", "resnet", 5, 1.0, status="crashed")]
RANGES = [entry("clip", *one) for one in zip(STUDENTS, [5] * 6, (50, 20, 90, 60, 70, 80), strict=True)]
RANGES += [entry("dino", *one) for one in zip(STUDENTS, [5] * 6, (30, 25, 10, 15, 99, 20), strict=True)]


@pytest.mark.parametrize(
    ("cases", "tests", "expected"),
    [
        (CHANGE, [GAIN], "**holds**: blip attention 80.00 → 74.00 (−6.00)"),
        (CHANGE, [GAIN.replace("-5", "-6")], "**fails**: blip attention 80.00 → 74.00 (−6.00)"),
        (CHANGE[:1], [GAIN], "**not tested**: blip attention: not run"),
        (
            CHANGE,
            [GAIN, "{accuracy: {teacher: blip, student: attention, epochs: 10}, at_least: 75}"],
            "**fails**: blip attention 10 ep 74.00",
        ),
        (
            OWN,
            ["{accuracy: {teacher: dino, student: projection, epochs: 10}, minus: teacher, at_least: -5}"],
            "**holds**: dino projection 10 ep 86.00 against dino itself 90.00",
        ),
        (
            OWN,
            ["{deployed: {teacher: dino, student: projection, epochs: 10}, over: teacher, below: 1}"],
            "**fails**: dino projection 10 ep 5.00 MB deployed against dino itself 4.00 MB deployed (1.25 times)",
        ),
        (
            PASSES,
            ["{teacher_pass: {teacher: blip}, over: {teacher: clip}, above: 2}"],
            "**holds**: blip 9.00 s against clip 4.00 s (2.25 times)",
        ),
        (
            RANGES,
            [
                "{range: {teacher: clip, student: [projection, attention, cbam], epochs: 5}, minus: {teacher: dino}, above: 15}"
            ],
            "**holds**: clip 5 ep 40.00 (50.00 to 90.00) against dino 20.00 (10.00 to 30.00)",
        ),
    ],
)
def test_a_verdict_names_the_figures_that_decide_it(cases, tests, expected):
    assert measured(cases, *tests) == expected


@pytest.mark.parametrize(("status", "word"), [("oom", "holds"), ("done", "fails"), ("crashed", "not tested")])
def test_running_out_of_memory_is_a_result(status, word):
    test = "{out_of_memory: {teacher: dino, student: resnet, epochs: 5}, at_least: 1}"
    assert measured([entry("dino", "resnet", 5, 1.0, status=status)], test).startswith(f"**{word}**")


@pytest.mark.parametrize(
    ("test", "word"),
    [
        ("{size: {teacher: clip, student: attention}, over: {student: [projection, cbam]}, above: 6.4}", "fails"),
        ("{size: {teacher: clip, student: attention}, over: {student: [projection, cbam]}, at_least: 6.4}", "holds"),
        ("{size: {teacher: clip, student: attention}, about: 8.07}", "holds"),
        ("{size: {teacher: clip, student: attention}, about: 8.09}", "fails"),
    ],
)
def test_sizes_need_no_record(test, word):
    assert measured([], test).startswith(f"**{word}**")


@pytest.mark.parametrize(
    ("claim_id", "word", "figures"),
    [
        ("blip-cbam-highest-and-small", "contradicted", ["48.64", "57.12"]),
        ("blip-attention-highest-at-five", "holds", ["57.12", "48.64"]),
        ("blip-attention-drops", "holds", ["57.12", "34.8", "−22.32"]),
        ("blip-cnns-comparable-at-ten", "contradicted", ["51.24", "56.82", "66.34"]),
        ("blip-teacher-alone-is-not-enough", "contradicted", ["66.34", "51.24"]),
        ("dino-attention-competitive", "contradicted", ["0.2004", "1.00"]),
        ("beit-attention-competitive", "contradicted", ["0.84", "0.8450", "1.00"]),
        ("dino-projection-smallest", "contradicted", ["0.75 MB", "0.50 MB"]),
        ("dino-resnet-out-of-memory", "holds", ["Out of Memory"]),
        ("dino-cnns-no-improvement", "the table does not say", ["Out of Memory"]),
        ("clip-under-one-percent", "holds", ["+0.34", "−0.08", "+0.00"]),
        ("clip-attention-seven-times-as-large", "holds", ["9.02 MB", "1.25 MB", "7.22 times"]),
        ("cbam-better-on-coco", "contradicted", ["72.34", "72.42"]),
        ("coco-cbam-gains-most", "contradicted", ["−0.08", "+5.56"]),
        ("coco-varies-more", "contradicted", ["18.18", "28.50"]),
        ("coco-needs-cnns", "contradicted", ["64.62", "72.72"]),
        ("tiny-imagenet-above-coco", "contradicted", ["0.2004", "72"]),
        ("dino-highest-on-tiny-imagenet", "contradicted", ["0.2004", "0.84"]),
        ("tiny-imagenet-projection-perfect", "holds", ["1.00"]),
        ("beit-attention-moderate-size", "the table does not say", ["no such column"]),
        ("blip-twice-the-time-of-clip", "the table does not say", ["not printed"]),
    ],
)
def test_the_paper_is_held_against_its_own_printed_figures(claim_id, word, figures):
    claim = next(one for one in publication.paper().claims if one.id == claim_id)
    verdict = claims.verdict(claim, claim_figures.printed)
    assert verdict.startswith(f"**{word}**: ")
    assert all(figure in verdict for figure in figures), verdict


def section(cases):
    return claims.section(Report("pocket", cases))


def rows_of(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_section_has_a_row_for_each_claim_and_says_what_it_is_about():
    chosen = [
        entry(teacher, student, epochs, 100.0 if DATASETS[teacher] == "shapes" else 60.0 + epochs)
        for teacher in DATASETS
        for student in STUDENTS
        for epochs in (5, 10)
    ]
    text = section(chosen)
    header, *rows = rows_of(text)
    assert header == ["claim", "where", "paper's own table", "measured, paper's accuracy", "measured, headline"]
    assert len(rows) == len(publication.paper().claims) and all(len(row) == 5 and all(row) for row in rows)
    assert "dino on shapes, beit on shapes, clip on scenes, blip on scenes, with pocket teachers" in text
    assert "about this run, not about the paper's experiment" in text
    perfect = next(row for row in rows if row[0].startswith("The highest accuracy is 1.0"))
    assert [cell.split("**")[1] for cell in perfect[2:]] == ["holds", "holds", "fails"]
    assert not any("not tested" in cell for row in rows for cell in row)


def test_cases_that_compare_losses_are_held_against_no_claim_and_the_introduction_says_so():
    compared = [(case, None) for case in matrix.cases(matrix.load(), "losses")]
    text = section(compared)
    assert "its profile compares losses, and the claims are about students with their own loss" in text
    assert "none of its cases is compared with them" in text and "nothing, with no teachers" not in text
    captions = [(case, outcome) for case, outcome in compared if case.kind == "captions"]
    some = section([entry("dino", "densenet", 10, 100.0), *captions])
    assert "they have dino on shapes, with pocket teachers. Cases that compare losses are left out" in some
    own = section([entry("dino", "densenet", 10, 100.0)])
    assert "compare losses" not in own and "compares losses" not in own


def test_with_nothing_run_only_sizes_are_tested():
    rows = rows_of(section([]))[1:]
    tested = [
        claim
        for claim, row in zip(publication.paper().claims, rows, strict=True)
        if row[3].startswith(("**holds", "**fails"))
    ]
    assert tested and all(test.quantity == "size" for claim in tested for test in claim.tests)


CASES = matrix.cases(matrix.load(), "pocket")


def test_every_claim_is_counted_once_and_as_the_claims_table_says():
    everything = [(case, made(case)) for case in CASES]
    by_source = counts(everything)
    assert all(
        one.total() == len(publication.paper().claims) and set(one) <= set(VERDICTS) for one in by_source.values()
    )
    text = claims.section(Report("pocket", everything))
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    columns = list(zip(*table, strict=True))
    headline = [left if own.startswith("same as the column to the left") else own for *_, left, own in table]
    for verdicts, column, fails in zip(
        by_source.values(), (columns[2], headline, columns[3]), ("contradicted", "fails", "fails"), strict=True
    ):
        assert verdicts["hold"] == sum(cell.startswith("**holds**") for cell in column)
        assert verdicts["fail"] == sum(cell.startswith(f"**{fails}**") for cell in column)


def test_without_records_only_claims_on_sizes_are_tested():
    own, *measured = counts([(case, None) for case in CASES]).values()
    untestable = [claim for claim in publication.paper().claims if claim.untestable]
    sizes = [
        one for one in publication.paper().claims if one.tests and all(test.quantity == "size" for test in one.tests)
    ]
    for verdicts in measured:
        assert verdicts["not tested"] == len(publication.paper().claims) - len(untestable) - len(sizes)
        assert verdicts["not testable"] == len(untestable)
    assert own["hold"] > 0 and own["fail"] > 0
