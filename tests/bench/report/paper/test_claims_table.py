"""The paper's claims as they are written, held against its own figures, and as the report tells them."""

import pytest

from bench.plan import matrix
from bench.report.paper import claim_figures, claims, publication
from tests.bench.report.paper.claimed import DATASETS, STUDENTS, entry

pytestmark = pytest.mark.usefixtures("sizes")


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
    claim = next(one for one in publication.claims() if one.id == claim_id)
    verdict = claims.verdict(claim, claim_figures.printed, claims.PRINTED)
    assert verdict.startswith(f"**{word}**: ")
    assert all(figure in verdict for figure in figures), verdict


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
    assert header == ["claim", "where", "paper's own table", "measured, paper's accuracy", "measured, headline"]
    assert len(rows) == len(publication.claims()) and all(len(row) == 5 and all(row) for row in rows)
    assert "dino on shapes, beit on shapes, clip on scenes, blip on scenes, with pocket teachers" in text
    assert "about this run, not about the paper's experiment" in text
    perfect = next(row for row in rows if row[0].startswith("The highest accuracy is 1.0"))
    assert [cell.split("**")[1] for cell in perfect[2:]] == ["holds", "holds", "fails"]
    assert not any("not tested" in cell for row in rows for cell in row)


def test_cases_that_compare_losses_are_held_against_no_claim_and_the_introduction_says_so():
    compared = [(case, None) for case in matrix.cases(matrix.load(), "losses")]
    text = claims.section(compared)
    assert "its profile compares losses, and the claims are about students with their own loss" in text
    assert "none of its cases is compared with them" in text and "nothing, with no teachers" not in text
    captions = [(case, outcome) for case, outcome in compared if case.kind == "captions"]
    some = claims.section([entry("dino", "densenet", 10, 100.0), *captions])
    assert "they have dino on shapes, with pocket teachers. Cases that compare losses are left out" in some
    own = claims.section([entry("dino", "densenet", 10, 100.0)])
    assert "compare losses" not in own and "compares losses" not in own


def test_with_nothing_run_only_sizes_are_tested():
    rows = rows_of(claims.section([]))[1:]
    tested = [
        claim
        for claim, row in zip(publication.claims(), rows, strict=True)
        if row[3].startswith(("**holds", "**fails"))
    ]
    assert tested and all(test.quantity == "size" for claim in tested for test in claim.tests)
