"""Where a report's data and teachers come from, and what the teachers may have seen of the evaluation images."""

from bench.record import Record
from bench.report.markup import literal, table
from bench.report.results import Chosen, is_done

WORDS = (0, 1, 2, 3, 6, 7)  # columns; the others are figures


def section(chosen: Chosen) -> str:
    """One row for each teacher and dataset, and what was left out of the data."""
    first: dict[tuple[str, str], Record] = {}
    for case, found in chosen:
        if is_done(found):
            first.setdefault((case.dataset, case.teacher), found)
    if not first:
        return ""
    rows = [_row(dataset, teacher, found) for (dataset, teacher), found in first.items()]
    header = [
        "teacher",
        "weights from",
        "revision",
        "sha256 of the weights",
        "training images",
        "evaluation images",
        "pass in",
        "evaluation images that the teacher may have seen",
    ]
    notes = list(dict.fromkeys(note for (dataset, _), found in first.items() for note in _data(dataset, found)))
    return "## Data and teachers\n\n" + table(header, rows, text=WORDS) + "".join(f"\n\n{note}" for note in notes)


def _row(dataset: str, teacher: str, found: Record) -> list[str]:
    told = found.protocol
    origin, leak = told.get("teacher") or {}, told.get("leakage") or {}
    seen = "unknown" if leak.get("seen") is None else f"{leak['seen']} of {leak['of']}"
    return [
        f"{teacher} on {dataset}",
        str(origin.get("source", "–")),
        str(origin.get("revision") or "–"),
        str(told.get("teacher_weights_sha256", "–"))[:12],
        f"{told.get('train_images', 0):,}",
        f"{told.get('test_images', 0):,}",
        str(found.environment["hardware"].get("precision", {}).get("teacher", "–")),
        f"{seen}: {leak.get('basis', '').removeprefix('unknown: ')}",
    ]


def _data(dataset: str, found: Record) -> list[str]:
    """What a reader must know of a prepared dataset."""
    facts = found.protocol.get("data")
    if not facts:
        return []
    counts = " and ".join(
        f"{part['images']:,} of {name}" for name, part in sorted(facts["splits"].items(), reverse=True)
    )
    whole = "A subset of the official archives" if facts["subset"] else "The official archives, whole"
    notes = [f"{dataset}: {whole}: {counts} prepared."]
    if facts["skipped"]:
        notes[0] += (
            f" {len(facts['skipped'])} bad images were skipped: {', '.join(literal(one['file']) for one in facts['skipped'])}."
        )
    for reason, count in facts["left_out"].items():
        notes[0] += f" {count} images left out: {literal(reason)}."
    return notes
