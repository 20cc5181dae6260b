"""The paper's claims: verdicts follow from the figures, the paper's own and the measured ones."""

import re
from dataclasses import replace

import pytest

from bench import matrix, paper, record
from bench.fullsize import FullSize
from bench.located import LocatedError
from bench.report import claim_figures, claims
from bench.report.results import headline

POCKET = matrix.cases(matrix.load(), "pocket")
DATASETS = {"dino": "shapes", "beit": "shapes", "clip": "scenes", "blip": "scenes"}
STUDENTS = ("projection", "bottleneck", "attention", "cbam", "resnet", "densenet")
SIZES_MB = dict(zip(STUDENTS, (1.0, 0.75, 8.0, 1.25, 40.0, 24.0), strict=True))


@pytest.fixture(autouse=True)
def sizes(monkeypatch):
    counted = tuple(
        FullSize(dataset, student, 0, size_mb, None, {})
        for dataset in ("coco", "tiny-imagenet")
        for student, size_mb in SIZES_MB.items()
    )
    monkeypatch.setattr(claim_figures, "full_sizes", lambda: counted)


def entry(teacher, student, epochs, accuracy, *, seed=0, status="done", top=None, seconds=1.0, own=90.0, **changes):
    """A case and its record: the paper's accuracy, the headline (one less unless given), the teacher's own, its pass."""
    case = next(one for one in POCKET if (one.dataset, one.teacher) == (DATASETS[teacher], teacher))
    case = replace(
        case, student=student, epochs=epochs, seed=seed, **{"control": None, "several_losses": False} | changes
    )
    top = accuracy - 1 if top is None else top
    kind = ("knn_top1",) if case.kind == "classification" else ("image_to_text_r1", "text_to_image_r1")
    found = record.Record(case.id, {}, "", status=status)
    found.metrics = dict.fromkeys(kind, top) | {
        "paper_accuracy": accuracy, "deployed_mb": 5.0, "epoch_seconds": seconds, "teacher_pass_seconds": seconds
    }  # fmt: skip
    found.teacher = dict.fromkeys(kind, own) | {"paper_accuracy": own, "deployed_mb": 4.0}
    return case, found


def written(folder, *tests):
    """The claims of a file with one claim that has these tests, in YAML."""
    lines = {"id": "mine", "where": "5.1, BLIP", "says": "it does"}
    text = "".join(f"{'- ' if key == 'id' else '  '}{key}: {value}\n" for key, value in lines.items())
    tests = "  tests:\n" + "".join(f"  - {test}\n" for test in tests)
    path = folder / "claims.yaml"
    path.write_text("claims:\n" + text + tests)
    return paper.claims(path)


def measured(folder, chosen, *tests, score=lambda _, scores: scores["paper_accuracy"]):
    (claim,) = written(folder, *tests)
    return claims.verdict(claim, claim_figures.measured(claim_figures.plain(chosen), score), claims.MEASURED)


ABOVE = "{accuracy: {teacher: blip, student: cbam, epochs: 5}, minus: {student: [projection, attention]}, above: 0}"
GAIN = "{gain: {teacher: blip, student: attention}, below: -5}"


@pytest.mark.parametrize(
    ("claim_id", "word", "figures"),
    [
        ("blip-cbam-highest-and-small", "contradicted", ["48.64", "57.12"]),
        ("blip-attention-highest-at-five", "holds", ["57.12", "48.64"]),
        ("blip-attention-drops", "holds", ["57.12", "34.8", "-22.32"]),
        ("blip-cnns-comparable-at-ten", "contradicted", ["51.24", "56.82", "66.34"]),
        ("blip-teacher-alone-is-not-enough", "contradicted", ["66.34", "51.24"]),
        ("dino-attention-competitive", "contradicted", ["0.2004", "1.00"]),
        ("beit-attention-competitive", "contradicted", ["0.84", "0.8450", "1.00"]),
        ("dino-projection-smallest", "contradicted", ["0.75 MB", "0.50 MB"]),
        ("dino-resnet-out-of-memory", "holds", ["Out of Memory"]),
        ("dino-cnns-no-improvement", "the table does not say", ["Out of Memory"]),
        ("clip-under-one-percent", "holds", ["+0.34", "-0.08", "+0.00"]),
        ("clip-attention-seven-times-as-large", "holds", ["9.02 MB", "1.25 MB", "7.22 times"]),
        ("cbam-better-on-coco", "contradicted", ["72.34", "72.42"]),
        ("coco-cbam-gains-most", "contradicted", ["-0.08", "+5.56"]),
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
    claim = next(one for one in paper.claims() if one.id == claim_id)
    told = claims.verdict(claim, claim_figures.printed, claims.PRINTED)
    assert told.startswith(f"**{word}**: ")
    assert all(figure in told for figure in figures), told


def test_a_ranking_holds_only_above_every_other_and_tells_the_nearest(tmp_path):
    others = [entry("blip", "projection", 5, 60.0), entry("blip", "attention", 5, 70.0)]
    assert measured(tmp_path, [*others, entry("blip", "cbam", 5, 71.0)], ABOVE) == (
        "**holds**: blip cbam 5 ep 71.00 against attention 70.00"
    )
    assert measured(tmp_path, [*others, entry("blip", "cbam", 5, 65.0)], ABOVE) == (
        "**fails**: blip cbam 5 ep 65.00 against attention 70.00"
    )


def test_equal_figures_are_not_above_but_at_least(tmp_path):
    chosen = [entry("blip", student, 5, 60.0) for student in ("cbam", "projection", "attention")]
    assert measured(tmp_path, chosen, ABOVE).startswith("**fails**")
    assert measured(tmp_path, chosen, ABOVE.replace("above", "at_least")).startswith("**holds**")


@pytest.mark.parametrize("status", ["oom", "crashed", "failed", "timeout", None])
def test_a_claim_is_not_tested_while_one_of_its_records_is_not_done(tmp_path, status):
    chosen = [entry("blip", "projection", 5, 90.0), entry("blip", "cbam", 5, 70.0)]
    if status:
        chosen.append(entry("blip", "attention", 5, 60.0, status=status))
    assert measured(tmp_path, chosen, ABOVE).startswith("**not tested**: blip cbam 5 ep against attention: ")


def test_a_change_is_from_the_papers_shorter_to_its_longer_training(tmp_path):
    chosen = [entry("blip", "attention", 5, 80.0), entry("blip", "attention", 10, 74.0)]
    assert measured(tmp_path, chosen, GAIN) == "**holds**: blip attention 80.00 → 74.00 (-6.00)"
    assert measured(tmp_path, chosen, GAIN.replace("-5", "-6")).startswith("**fails**")
    assert measured(tmp_path, chosen[:1], GAIN) == "**not tested**: blip attention: not run"


def seeds(student, *accuracies):
    return [
        entry("blip", student, 5, accuracy, seed=seed, several_seeds=True) for seed, accuracy in enumerate(accuracies)
    ]


@pytest.mark.parametrize(
    ("cbam", "attention", "told"),
    [
        # Standard deviations with ddof 1: of (80, 84) √8 = 2.83, with ddof 0 it would be 2; of (78.5, 80.5) √2 = 1.41.
        ((80, 84), (78.5, 80.5), "**within the spread**: blip cbam 5 ep 82.00 ± 2.83 against attention 79.50 ± 1.41"),
        ((78.5, 80.5), (80, 84), "**within the spread**: blip cbam 5 ep 79.50 ± 1.41 against attention 82.00 ± 2.83"),
        ((80, 84), (78, 80), "**holds**: blip cbam 5 ep 82.00 ± 2.83 against attention 79.00 ± 1.41"),
        ((78, 80), (80, 84), "**fails**: blip cbam 5 ep 79.00 ± 1.41 against attention 82.00 ± 2.83"),
    ],
)
def test_over_seeds_a_difference_counts_only_beyond_the_larger_deviation(tmp_path, cbam, attention, told):
    chosen = [*seeds("cbam", *cbam), *seeds("attention", *attention), *seeds("projection", 60, 60)]
    assert measured(tmp_path, chosen, ABOVE) == told


def test_a_missing_seed_leaves_a_claim_untested(tmp_path):
    chosen = [*seeds("cbam", 80, 84), *seeds("attention", 70, 70), *seeds("projection", 60, 60)]
    chosen[0] = (chosen[0][0], None)
    assert measured(tmp_path, chosen, ABOVE) == "**not tested**: blip cbam 5 ep: not run"


def test_one_broken_condition_breaks_the_claim(tmp_path):
    chosen = [entry("blip", "attention", 5, 80.0), entry("blip", "attention", 10, 74.0)]
    broken = "{accuracy: {teacher: blip, student: attention, epochs: 10}, at_least: 75}"
    assert measured(tmp_path, chosen, GAIN, broken) == "**fails**: blip attention 10 ep 74.00"


def test_controls_losses_and_further_datasets_are_left_out(tmp_path):
    own = [entry("dino", "projection", 10, 70.0)]
    others = [
        entry("dino", "projection", 10, 10.0, control="no-distillation"),
        entry("dino", "projection", 10, 10.0, several_losses=True),
    ]
    papers = entry("dino", "projection", 10, 50.0, dataset="tiny-imagenet")
    test = "{accuracy: {teacher: dino, student: projection, epochs: 10}, above: 60}"
    assert measured(tmp_path, others + own, test) == "**holds**: dino projection 10 ep 70.00"
    assert measured(tmp_path, [*own, papers], test) == "**fails**: dino projection 10 ep 50.00"


def test_the_headline_is_judged_by_its_own_figures(tmp_path):
    chosen = [entry("dino", "projection", 10, 100.0, top=82.8), entry("clip", "projection", 10, 99.0, top=40.0)]
    test = "{accuracy: {teacher: [dino, clip], student: projection, epochs: 10}, at_least: 99}"
    assert measured(tmp_path, chosen, test).startswith("**holds**")
    assert measured(tmp_path, chosen, test, score=headline) == (
        "**fails**: dino projection 10 ep 82.80; clip projection 10 ep 40.00"
    )


def test_a_student_is_compared_with_the_teacher_itself(tmp_path):
    chosen = [entry("dino", "projection", 10, 86.0, own=90.0)]
    keeps = "{accuracy: {teacher: dino, student: projection, epochs: 10}, minus: teacher, at_least: -5}"
    smaller = "{deployed: {teacher: dino, student: projection, epochs: 10}, over: teacher, below: 1}"
    assert measured(tmp_path, chosen, keeps) == "**holds**: dino projection 10 ep 86.00 against dino itself 90.00"
    assert "5.00 MB deployed against dino itself 4.00 MB deployed (1.25 times)" in measured(tmp_path, chosen, smaller)


def test_teachers_are_compared_by_their_pass_which_many_records_share(tmp_path):
    chosen = [entry("blip", "cbam", epochs, 1.0, seconds=9.0) for epochs in (5, 10)]
    chosen += [entry("clip", "cbam", 5, 1.0, seconds=4.0), entry("clip", "resnet", 5, 1.0, status="crashed")]
    test = "{teacher_pass: {teacher: blip}, over: {teacher: clip}, above: 2}"
    assert measured(tmp_path, chosen, test) == "**holds**: blip 9.00 s against clip 4.00 s (2.25 times)"


def test_a_range_is_from_the_lowest_to_the_highest_student(tmp_path):
    chosen = [
        entry("clip", student, 5, value) for student, value in zip(STUDENTS, (50, 20, 90, 60, 70, 80), strict=True)
    ]
    chosen += [
        entry("dino", student, 5, value) for student, value in zip(STUDENTS, (30, 25, 10, 15, 99, 20), strict=True)
    ]
    test = (
        "{range: {teacher: clip, student: [projection, attention, cbam], epochs: 5}, minus: {teacher: dino}, above: 15}"
    )
    assert measured(tmp_path, chosen, test) == (
        "**holds**: clip 5 ep 40.00 (50.00 to 90.00) against dino 20.00 (10.00 to 30.00)"
    )


@pytest.mark.parametrize(("status", "word"), [("oom", "holds"), ("done", "fails"), ("crashed", "not tested")])
def test_running_out_of_memory_is_a_result(tmp_path, status, word):
    test = "{out_of_memory: {teacher: dino, student: resnet, epochs: 5}, at_least: 1}"
    assert measured(tmp_path, [entry("dino", "resnet", 5, 1.0, status=status)], test).startswith(f"**{word}**")


@pytest.mark.parametrize(
    ("test", "word"),
    [
        ("{size: {teacher: clip, student: attention}, over: {student: [projection, cbam]}, above: 6.4}", "fails"),
        ("{size: {teacher: clip, student: attention}, over: {student: [projection, cbam]}, at_least: 6.4}", "holds"),
        ("{size: {teacher: clip, student: attention}, about: 8.07}", "holds"),
        ("{size: {teacher: clip, student: attention}, about: 8.09}", "fails"),
    ],
)
def test_sizes_need_no_record(tmp_path, test, word):
    assert measured(tmp_path, [], test).startswith(f"**{word}**")


CELL = "{teacher: blip, student: cbam, epochs: 5}"


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("{accuracy: {teacher: blip, student: cbma, epochs: 5}, above: 0}", "unknown student 'cbma'; did you mean 'cbam'?"),
        ("{accuracy: {teacher: blipp, student: cbam, epochs: 5}, above: 0}", "unknown teacher 'blipp'; did you mean 'blip'?"),
        ("{accuracy: {teacher: blip, student: cbam, epochs: 7}, above: 0}", "unknown epochs 7"),
        ("{accuracy: {teacher: blip, student: [], epochs: 5}, above: 0}", "unknown student None"),
        ("{accuracy: {teacher: blip, student: cbam}, above: 0}", "the key 'epochs' is missing"),
        ("{gain: {teacher: blip, student: cbam, epochs: 5}, above: 0}", "unknown key 'epochs'"),
        ("{accurracy: " + CELL + ", above: 0}", "unknown key 'accurracy'; did you mean 'accuracy'?"),
        ("{accuracy: " + CELL + ", over: {student: resnet}, minus: {student: resnet}, above: 0}", "at most one of minus and over"),
        ("{accuracy: " + CELL + "}", "a condition needs one quantity"),
        ("{above: 0}", "a condition needs one quantity"),
        ("{accuracy: " + CELL + ", above: much}", "'above' must be a number, not 'much'"),
        ("{accuracy: " + CELL + ", minus: {student: [resnet, cbam]}, above: 0}", "'minus' compares a cell with itself"),
        ("{accuracy: " + CELL + ", minus: {students: resnet}, above: 0}", "unknown key 'students'"),
        ("{size: {teacher: blip, student: cbam}, over: teacher, above: 0}", "a teacher itself has no size"),
        ("{size: {teacher: blip, student: cbam}, over: {student: resnet}, about: 1}", "'about' bounds a quantity"),
        ("highest", "expected a mapping"),
    ],
)  # fmt: skip
def test_a_bad_condition_is_an_error_that_names_the_claim(tmp_path, test, message):
    with pytest.raises(LocatedError, match=r"^claims.yaml:2:3: claim 'mine': .*" + re.escape(message)):
        written(tmp_path, test)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"where": None}, "claim 'mine': the key 'where' is missing"),
        ({"says": "5"}, "claim 'mine': 'says' must be a text"),
        ({"id": None, "where": "5.1"}, "claim number 1: the key 'id' is missing"),
        ({"verdict": "holds"}, "claim 'mine': unknown key 'verdict'"),
        ({"untestable": "a reason"}, "claim 'mine': give either 'tests' or"),
    ],
)
def test_a_bad_claim_is_an_error(tmp_path, changes, message):
    path = tmp_path / "claims.yaml"
    fields = {"id": "mine", "where": "5.1 x", "says": "it does", "tests": f"[{ABOVE}]"} | changes
    path.write_text("claims:\n- " + "\n  ".join(f"{key}: {value}" for key, value in fields.items() if value) + "\n")
    with pytest.raises(LocatedError, match=re.escape(message)):
        paper.claims(path)


def test_a_second_claim_of_the_same_id_is_an_error(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text("claims:\n" + 2 * "- {id: mine, where: 5.1 x, says: it does, untestable: a reason}\n")
    with pytest.raises(LocatedError, match=r"claims.yaml:3:3: claim 'mine': there is another claim with this id"):
        paper.claims(path)


def test_quotations_are_short():
    quotations = [part for claim in paper.claims() for part in re.findall(r'"([^"]+)"', claim.says)]
    assert len(quotations) > 30 and all(len(part.split()) < 25 for part in quotations)


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
    text = claims.section(chosen)
    header, *rows = rows_of(text)
    assert header == ["claim", "where", "paper's own table", "measured, paper protocol", "measured, headline"]
    assert len(rows) == len(paper.claims()) and all(len(row) == 5 and all(row) for row in rows)
    assert "dino on shapes, beit on shapes, clip on scenes, blip on scenes, with pocket teachers" in text
    assert "about this run, not about the paper's experiment" in text
    perfect = next(row for row in rows if row[0].startswith("The highest accuracy is 1.0"))
    assert [cell.split("**")[1] for cell in perfect[2:]] == ["holds", "holds", "fails"]
    assert not any("not tested" in cell for row in rows for cell in row)


def test_with_nothing_run_only_sizes_are_tested():
    rows = rows_of(claims.section([]))[1:]
    tested = [
        claim for claim, row in zip(paper.claims(), rows, strict=True) if row[3].startswith(("**holds", "**fails"))
    ]
    assert tested and all(test.quantity == "size" for claim in tested for test in claim.tests)
