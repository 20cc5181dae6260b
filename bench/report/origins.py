"""Where a report's data and teachers come from, and how long the teachers' passes over the data took.

Left out on purpose: what share of the machine a pass is, which needs its peak; ``python -m bench speed`` measures both.
"""

from bench.kit.markdown import count, folded, literal, number, table
from bench.plan.case import Case
from bench.report.content import Chosen, Report, is_done
from bench.results.record import Record

ORIGINS = (
    "teacher", "weights from", "revision", "sha256 of the weights", "training images", "evaluation images",
    "teacher's precision", "evaluation images that the teacher may have seen",
)  # fmt: skip
PASSES = ("teacher", "precision", "images", "captions", "seconds", "images / s", "MACs per image", "GMAC / s")
NOTE = (
    "A teacher runs once over all training and evaluation images, and over their captions where there are any; students read "
    "its features from a store. The store keeps the seconds of that pass, reading, writing and digests included. A teacher "
    "whose cases read several stores has a row for each. Images per second are all images over all seconds, MACs those of the "
    "teacher's image side. With captions the seconds are those of both its sides, and of fitting a PCA where its features were "
    "reduced, so there is no GMAC / s. Only records of prepared datasets say how many captions there were. How close a "
    "pass comes to what the machine can do is measured by `python -m bench speed`."
)


def section(report: Report) -> str:
    """One row for each teacher and dataset, and what was left out of the data."""
    first = [cases[0] for cases in _finished(report)]
    if not first:
        return ""
    notes = dict.fromkeys(
        _data(case.dataset, record, bool(case.images)) for case, record in first if record.protocol.get("data")
    )
    rows = [_origin(case, record) for case, record in first]
    return "\n\n".join(["## Data and teachers", table([*ORIGINS], rows, text=(0, 1, 2, 3, 6, 7)), *notes])


def passes(report: Report) -> str:
    """A row for each teacher and dataset; several where records read different stores. Controls have none."""
    lines = []
    for cases in _finished(report):
        # MACs of the teacher's image side for one image, where any record has the teacher's costs.
        macs = next((macs for _, record in cases if (macs := record.teacher.get("macs"))), None)
        timed: dict[tuple, tuple[Case, Record]] = {}  # a case of each pass that was timed on the case's own machine
        for case, record in cases:
            if seconds := record.metrics.get("teacher_pass_seconds"):
                timed.setdefault((record.protocol.get("feature_store"), seconds), (case, record))
        lines += [_pass(case, record, macs) for case, record in timed.values() or cases[:1]]
    if not lines:
        return ""
    text = f"{NOTE}\n\n{table([*PASSES], lines, text=(0, 1))}"
    return f"## The teachers' passes\n\n{folded('Seconds, images per second and MACs per second', text)}"


def _finished(report: Report) -> list[Chosen]:
    """The finished students of each dataset and teacher."""
    pairs: dict[tuple[str, str], Chosen] = {}
    for case, record in report.students:
        if is_done(record):
            pairs.setdefault((case.dataset, case.teacher), []).append((case, record))
    return [*pairs.values()]


def _precision(record: Record) -> str:
    return str(record.environment["hardware"].get("precision", {}).get("teacher", "–"))


def _origin(case: Case, record: Record) -> list[str]:
    facts = record.protocol
    origin, leak = facts.get("teacher") or {}, facts.get("leakage") or {}
    seen = "unknown" if leak.get("seen") is None else f"{leak['seen']} of {leak['of']}"
    return [
        f"{case.teacher} on {case.dataset}",
        str(origin.get("source", "–")),
        str(origin.get("revision") or "–"),
        str(facts.get("teacher_weights_sha256", "–"))[:12],
        f"{facts.get('train_images', 0):,}",
        f"{facts.get('test_images', 0):,}",
        _precision(record),
        f"{seen}: {leak.get('basis', '').removeprefix('unknown: ')}",
    ]


def _data(dataset: str, record: Record, own: bool) -> str:
    """What a reader must know of a prepared dataset, or of the user's ``own`` folder."""
    facts = record.protocol["data"]
    counts = " and ".join(f"{part['images']:,} {name}" for name, part in sorted(facts["splits"].items(), reverse=True))
    whole = "a subset of the official archives" if facts["subset"] else "the official archives in full"
    if own:
        whole = "a folder of images"
    elif not all(archive["name"].endswith(".zip") for archive in facts.get("archives", [])):
        whole = "unpacked folders, not verified against the official archives"
    sentences = [f"{dataset}: {whole}; {counts} images prepared."]
    if facts["skipped"]:
        files = ", ".join(literal(one["file"]) for one in facts["skipped"])
        sentences.append(f"{len(facts['skipped'])} bad images were skipped: {files}.")
    sentences += [f"{count} images left out: {literal(reason)}." for reason, count in facts["left_out"].items()]
    return " ".join(sentences)


def _pass(case: Case, record: Record, macs: float | None) -> list[str]:
    """The row of a case's pass; ``macs`` are the teacher's for one image."""
    facts, seconds = record.protocol, record.metrics.get("teacher_pass_seconds")
    images = facts.get("train_images", 0) + facts.get("test_images", 0)
    rate = images / seconds if images and seconds else None
    alone = case.kind != "captions"
    return [
        f"{case.teacher} on {case.dataset}",
        _precision(record),
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
