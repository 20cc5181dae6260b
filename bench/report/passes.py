"""The teachers' passes over the data: seconds, images per second and, where the records allow, MACs per second.

Left out on purpose: what share of the machine that is, which needs its peak; ``python -m bench speed`` measures both.
"""

from bench.kit.markdown import count, folded, number, table
from bench.plan.case import Case
from bench.report.content import Report
from bench.report.results import Chosen, is_done
from bench.results.record import Record

HEADER = ("teacher", "precision", "images", "captions", "seconds", "images / s", "MACs per image", "GMAC / s")
WORDS = (0, 1)  # columns; the others are figures
NOTE = (
    "A teacher runs once over all training and evaluation images, and over their captions where there are any; students read "
    "its features from a store. The store keeps the seconds of that pass, reading, writing and digests included. A teacher "
    "whose cases read several stores has a row for each. Images per second are all images over all seconds, MACs those of the "
    "teacher's image side. With captions the seconds are those of both its sides, and of fitting a PCA where its features were "
    "reduced, so there is no GMAC / s. Only records of prepared datasets say how many captions there were. How close a "
    "pass comes to what the machine can do is measured by `python -m bench speed`."
)


def section(report: Report) -> str:
    """A row for each teacher and dataset; several where records read different stores. Controls have none."""
    pairs: dict[tuple[str, str], Chosen] = {}
    for case, record in report.students:
        if is_done(record):
            pairs.setdefault((case.dataset, case.teacher), []).append((case, record))
    lines = [_line(*one, _macs(cases)) for cases in pairs.values() for one in _passes(cases)]
    if not lines:
        return ""
    text = f"{NOTE}\n\n{table([*HEADER], lines, WORDS)}"
    return f"## The teachers' passes\n\n{folded('Seconds, images per second and MACs per second', text)}"


def _passes(cases: Chosen) -> Chosen:
    """A case of each pass that was timed on the case's own machine; one of any where none was."""
    timed: dict[tuple, tuple[Case, Record]] = {}
    for case, record in cases:
        if _seconds(record):
            timed.setdefault((record.protocol.get("feature_store"), _seconds(record)), (case, record))
    return list(timed.values()) or cases[:1]


def _line(case: Case, record: Record, macs: float | None) -> list[str]:
    """The row of a case's pass; ``macs`` are the teacher's for one image."""
    facts, seconds = record.protocol, _seconds(record)
    images = facts.get("train_images", 0) + facts.get("test_images", 0)
    rate = images / seconds if images and seconds else None
    alone = case.kind == "classification"
    return [
        f"{case.teacher} on {case.dataset}",
        str(record.environment["hardware"].get("precision", {}).get("teacher", "–")),
        f"{images:,}" if images else "–",
        "–" if alone else _captions(facts),
        number(seconds, 2),
        number(rate),
        count(macs),
        number(rate * macs / 1e9 if alone and rate and macs else None),
    ]


def _captions(facts: dict) -> str:
    """How many captions both splits have: known where all that is prepared of them was used."""
    prepared = (facts.get("data") or {}).get("splits", {})
    used = {"train": facts.get("train_images"), "test": facts.get("test_images")}
    whole = [prepared[name] for name, images in used.items() if name in prepared and prepared[name]["images"] == images]
    counts = [part.get("captions") for part in whole]
    return f"{sum(counts):,}" if len(counts) == 2 and None not in counts else "not recorded"


def _seconds(record: Record) -> float | None:
    """Those of the pass; None where another machine measured them."""
    return record.metrics.get("teacher_pass_seconds")


def _macs(cases: Chosen) -> float | None:
    """MACs of the teacher's image side for one image, where any record has the teacher's costs."""
    return next((macs for _, record in cases if (macs := record.teacher.get("macs"))), None)
