"""How many of the paper's claims hold: the verdicts of ``claims``, counted."""

from collections import Counter
from collections.abc import Iterable

from bench.report.paper import publication
from bench.report.paper.claim_figures import Source, claimed, measured, printed
from bench.report.paper.claims import MEASURED, PRINTED, settled
from bench.report.results import Chosen, headline, paper_accuracy

# What a verdict's word counts as: the paper's tables contradict a claim, a run's records let it fail.
COUNTED = {
    "holds": "hold",
    "fails": "fail",
    "contradicted": "fail",
    "within the spread": "within the spread",
    "not tested": "not tested",
    "the table does not say": "not tested",
}
UNTESTABLE = "not testable"
VERDICTS = (*dict.fromkeys(COUNTED.values()), UNTESTABLE)


def counts(students: Chosen) -> dict[str, Counter[str]]:
    """How often each of :data:`VERDICTS` falls, by what the claims are tested on, in words."""
    mine = claimed(students)
    sources = {
        "on the paper's own tables": (printed, PRINTED),
        "in this run, by the headline accuracy": (measured(mine, headline), MEASURED),
        "in this run, by the paper's accuracy": (measured(mine, paper_accuracy), MEASURED),
    }
    return {name: _counted(publication.claims(), *source) for name, source in sources.items()}


def on_sizes() -> Counter[str]:
    """The same in any run, of the claims on nothing but sizes of full-size students: they need no record."""
    claims = [claim for claim in publication.claims() if {condition.quantity for condition in claim.tests} == {"size"}]
    return _counted(claims, measured([], headline), MEASURED)


def _counted(claims: Iterable[publication.Claim], source: Source, words: dict[str, str]) -> Counter[str]:
    return Counter(UNTESTABLE if claim.untestable else COUNTED[settled(claim, source, words)[0]] for claim in claims)
