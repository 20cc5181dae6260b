"""Where a report's data and teachers come from, and what the teachers may have seen of the evaluation images."""

from bench.kit.markdown import literal, table
from bench.report.results import Chosen, is_done
from bench.results.record import Record

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
        "teacher's precision",
        "evaluation images that the teacher may have seen",
    ]
    notes = dict.fromkeys(_data(dataset, found) for (dataset, _), found in first.items() if found.protocol.get("data"))
    return "\n\n".join(["## Data and teachers", table(header, rows, text=WORDS), *notes])


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


def _data(dataset: str, found: Record) -> str:
    """What a reader must know of a prepared dataset."""
    facts = found.protocol["data"]
    counts = " and ".join(f"{part['images']:,} {name}" for name, part in sorted(facts["splits"].items(), reverse=True))
    whole = "a subset of the official archives" if facts["subset"] else "the official archives in full"
    told = [f"{dataset}: {whole}; {counts} images prepared."]
    if facts["skipped"]:
        files = ", ".join(literal(one["file"]) for one in facts["skipped"])
        told.append(f"{len(facts['skipped'])} bad images were skipped: {files}.")
    told += [f"{count} images left out: {literal(reason)}." for reason, count in facts["left_out"].items()]
    return " ".join(told)
