"""The verdicts of the claims' table, counted."""

from bench.plan import matrix
from bench.report.content import Report
from bench.report.paper import claims, publication
from bench.report.paper.claim_counts import VERDICTS, counts
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")


def test_every_claim_is_counted_once_and_as_the_claims_table_says():
    everything = [(case, made(case)) for case in CASES]
    by_source = counts(everything)
    assert all(one.total() == len(publication.claims()) and set(one) <= set(VERDICTS) for one in by_source.values())
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
    untestable = [claim for claim in publication.claims() if claim.untestable]
    sizes = [one for one in publication.claims() if one.tests and all(test.quantity == "size" for test in one.tests)]
    for verdicts in measured:
        assert verdicts["not tested"] == len(publication.claims()) - len(untestable) - len(sizes)
        assert verdicts["not testable"] == len(untestable)
    assert own["hold"] > 0 and own["fail"] > 0
