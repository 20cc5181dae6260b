"""Where a report's data and teachers come from, and what the teachers may have seen of the evaluation images."""

from bench.kit.markdown import literal, table
from bench.report.content import Report
from bench.report.results import is_done
from bench.results.record import Record

HEADER = (
    "teacher", "weights from", "revision", "sha256 of the weights", "training images", "evaluation images",
    "teacher's precision", "evaluation images that the teacher may have seen",
)  # fmt: skip
WORDS = (0, 1, 2, 3, 6, 7)  # columns; the others are figures


def section(report: Report) -> str:
    """One row for each teacher and dataset, and what was left out of the data."""
    first: dict[tuple[str, str], Record] = {}
    for case, record in report.students:
        if is_done(record):
            first.setdefault((case.dataset, case.teacher), record)
    if not first:
        return ""
    rows = [_row(*pair, record) for pair, record in first.items()]
    notes = dict.fromkeys(
        _data(dataset, record) for (dataset, _), record in first.items() if record.protocol.get("data")
    )
    return "\n\n".join(["## Data and teachers", table([*HEADER], rows, text=WORDS), *notes])


def _row(dataset: str, teacher: str, record: Record) -> list[str]:
    facts = record.protocol
    origin, leak = facts.get("teacher") or {}, facts.get("leakage") or {}
    seen = "unknown" if leak.get("seen") is None else f"{leak['seen']} of {leak['of']}"
    return [
        f"{teacher} on {dataset}",
        str(origin.get("source", "–")),
        str(origin.get("revision") or "–"),
        str(facts.get("teacher_weights_sha256", "–"))[:12],
        f"{facts.get('train_images', 0):,}",
        f"{facts.get('test_images', 0):,}",
        str(record.environment["hardware"].get("precision", {}).get("teacher", "–")),
        f"{seen}: {leak.get('basis', '').removeprefix('unknown: ')}",
    ]


def _data(dataset: str, record: Record) -> str:
    """What a reader must know of a prepared dataset."""
    facts = record.protocol["data"]
    counts = " and ".join(f"{part['images']:,} {name}" for name, part in sorted(facts["splits"].items(), reverse=True))
    whole = "a subset of the official archives" if facts["subset"] else "the official archives in full"
    sentences = [f"{dataset}: {whole}; {counts} images prepared."]
    if facts["skipped"]:
        files = ", ".join(literal(one["file"]) for one in facts["skipped"])
        sentences.append(f"{len(facts['skipped'])} bad images were skipped: {files}.")
    sentences += [f"{count} images left out: {literal(reason)}." for reason, count in facts["left_out"].items()]
    return " ".join(sentences)
