"""Where a report's data and teachers come from, and how long the teachers' passes over the data took.

Left out on purpose: how close a pass comes to what the machine can do, which the benchmark of the store measures.
"""

from bench.kit.markdown import literal, number, table
from bench.report.content import Chosen, Report, is_done
from bench.results.record import Record

ORIGINS = (
    "teacher", "weights from", "revision", "sha256 of the weights", "training images", "evaluation images",
    "teacher's precision", "seconds of the pass", "evaluation images that the teacher may have seen",
)  # fmt: skip


def section(report: Report) -> str:
    """One row for each teacher and dataset, and what was left out of the data."""
    pairs: dict[tuple[str, str], Chosen] = {}
    for case, record in report.students:
        if is_done(record):
            pairs.setdefault((case.dataset, case.teacher), []).append((case, record))
    if not pairs:
        return ""
    first = [cases[0] for cases in pairs.values()]
    notes = dict.fromkeys(
        _data(case.dataset, record, bool(case.images)) for case, record in first if record.protocol["data"]
    )
    rows = [_origin(cases) for cases in pairs.values()]
    return "\n\n".join(["## Data and teachers", table([*ORIGINS], rows, text=(0, 1, 2, 3, 6, 8)), *notes])


def _origin(cases: Chosen) -> list[str]:
    """The row of a teacher and dataset; of a pass over other views of the images the seconds stand beside the first's."""
    (case, record), facts = cases[0], cases[0][1].protocol
    passes = dict.fromkeys(one.metrics.get("teacher_pass_seconds") for _, one in cases)
    origin, leak = facts["teacher"], facts["leakage"]
    seen = "unknown" if leak["seen"] is None else f"{leak['seen']} of {leak['of']}"
    return [
        f"{case.teacher} on {case.dataset}",
        origin["source"],
        origin["revision"] or "–",
        facts["teacher_weights_sha256"][:12],
        f"{facts['train_images']:,}",
        f"{facts['test_images']:,}",
        record.environment["hardware"]["precision"]["teacher"],
        " and ".join(number(seconds, 2) for seconds in passes if seconds is not None) or "–",
        f"{seen}: {leak['basis'].removeprefix('unknown: ')}",
    ]


def _data(dataset: str, record: Record, own: bool) -> str:
    """What a reader must know of a prepared dataset, or of the user's ``own`` folder."""
    facts = record.protocol["data"]
    counts = " and ".join(f"{part['images']:,} {name}" for name, part in sorted(facts["splits"].items(), reverse=True))
    whole = "a subset of the official archives" if facts["subset"] else "the official archives in full"
    if own:
        whole = "a folder of images"
    elif not all(archive["name"].endswith(".zip") for archive in facts["archives"]):
        whole = "unpacked folders, not verified against the official archives"
    sentences = [f"{dataset}: {whole}; {counts} images prepared."]
    if facts["skipped"]:
        files = ", ".join(literal(one["file"]) for one in facts["skipped"])
        sentences.append(f"{len(facts['skipped'])} bad images were skipped: {files}.")
    sentences += [f"{count} images left out: {literal(reason)}." for reason, count in facts["left_out"].items()]
    return " ".join(sentences)
