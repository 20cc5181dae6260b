"""The Markdown report, section by section; the paper's tables are in ``paper_tables``."""

from pathlib import Path

from bench import prepared
from bench.compare import Verdict
from bench.report import claims, origins, paper_tables, protocol, teachers
from bench.report.rows import Row, best, rows, shown, smallest_gain
from bench.report.scores import HEADLINE, Chosen, headline, is_done, status, table

WEIGHTS = {
    "pocket": "**Pocket teachers**: small models that were trained on generated images and ship with the suite. Their "
    "figures show that the machinery works and how students compare here; they say nothing about the full-size models.",
    "pocket on real images": "**Pocket teachers**: small models that were trained on the training images of the same "
    "real set and ship with the suite. They are no match for the full-size models, about which their figures say nothing.",
    "random": "**Random teachers**: full-size architectures with random weights, a control for timing and sizes. "
    "Accuracies say nothing about the pretrained models.",
    "pretrained": "Pretrained teachers of full size. beit was fine-tuned on labels after its masked pre-training.",
}
HEADS = (
    "A head (projection, bottleneck, attention, cbam) reads the teacher's features: at inference it needs the teacher, so "
    "its own size is not the size of what is deployed. Only resnet and densenet replace the teacher, and only its image "
    "side: captions, where there are any, still pass through the teacher's text tower."
)


PLOTS = {
    "accuracy.svg": "Accuracy against the size of all that must run",
    "curves.svg": "Accuracy over the epochs",
    "in-batch.svg": "The paper's accuracy over the batch size",
}


def page(profile: str, chosen: Chosen, faults: list[str], verdict: Verdict | None, pictures: list[str]) -> str:
    """The whole report. ``pictures`` are the names of the files beside it that were drawn."""
    students = [(case, found) for case, found in chosen if case.control is None]
    groups = _groups(rows(chosen))
    sections = [
        f"# distill-bench: profile `{profile}`",
        _what_ran(chosen),
        summary(groups),
        _baseline(verdict),
        _plot("accuracy.svg", pictures),
        *(teachers.section(*pair, mine) for pair, mine in groups.items()),
        _curves(pictures),
        _in_batch(pictures),
        claims.section(students),
        paper_tables.printed_and_measured(students),
        paper_tables.full_size(),
        origins.section(students),
        _explained(pictures),
        _trouble(chosen, faults),
        protocol.section(chosen),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _groups(found: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows by dataset and teacher."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in found:
        groups.setdefault((row.case.dataset, row.case.teacher), []).append(row)
    return groups


def _plot(name: str, pictures: list[str]) -> str:
    return f"![{PLOTS[name]}]({name})" if name in pictures else ""


def _curves(pictures: list[str]) -> str:
    plot = _plot("curves.svg", pictures)
    return plot and (
        f"## Learning curves\n\n{plot}\n\nHeld-out accuracy after each epoch, epoch 0 being the untrained student; "
        "evaluation is outside the clock."
    )


def _in_batch(pictures: list[str]) -> str:
    plot = _plot("in-batch.svg", pictures)
    return plot and (
        f"## Why the paper's accuracy is not the headline\n\n{plot}\n\nThe same models, the same embeddings: the number "
        "follows the batch size. With labels only, each image is compared with itself, and any model scores 100 at any "
        "size. With captions, small batches make every model look good and hide the differences between them."
    )


def _explained(pictures: list[str]) -> str:
    found = [name for name in pictures if name.endswith(".png")]
    shown = "\n\n".join(
        f"### {Path(name).stem}\n\n![What it looks at, and what it finds alike]({name})" for name in found
    )
    return "## Explained\n\n" + teachers.folded(f"{len(found)} cases", shown) if found else ""


def _what_ran(chosen: Chosen) -> str:
    done = [found for _, found in chosen if is_done(found)]
    total = sum(found.seconds or 0 for found in done)
    first = chosen[0][0]
    real = " on real images" if first.weights == "pocket" and prepared.is_prepared_kind(first.dataset) else ""
    lines = [f"{len(done)} of {len(chosen)} cases are done. {WEIGHTS[first.weights + real]}"]
    machines = list(dict.fromkeys(_machine(found) for found in sorted(done, key=lambda found: found.started)))
    if machines:
        lines.append(f"Run on {'; and on '.join(machines)}. {total:.0f} s of work in all.")
    return "\n\n".join(lines)


def _machine(found) -> str:
    """Where and with what a case ran, in one line."""
    hardware, software, git = (found.environment[part] for part in ("hardware", "software", "git"))
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    return (
        f"{hardware.get('device')} ({hardware.get('processor')}, {hardware.get('threads')} threads), "
        f"Python {software.get('python')}, torch {software.get('torch')}, commit `{str(git.get('commit'))[:10]}`{dirty}"
    )


def _baseline(verdict: Verdict | None) -> str:
    return "" if verdict is None else "## Baseline\n\n```\n" + "\n".join(verdict.lines()) + "\n```"


def summary(groups: dict[tuple[str, str], list[Row]]) -> str:
    """The best student of each teacher, among all and among those that embed images without it."""
    lines = []
    for (dataset, teacher), found in groups.items():
        students = [row for row in found if row.case.control is None]
        first = best(students)
        if first is None:
            continue
        kind = first.case.kind
        own = first.over_seeds(lambda one, kind=kind: headline(kind, one.teacher))
        alone = best([row for row in students if row.case.reads == "pixels"])
        cells = [cell for row in (first, alone) for cell in _told(row, found)]
        lines.append([f"{teacher} on {dataset}", HEADLINE[kind], shown(own), *cells])
    gain = "gain over its best control"
    header = ["teacher", "accuracy (%)", "teacher itself", "best student", gain]
    header += ["best that embeds images without the teacher", gain]
    return f"## Summary\n\n{table(header, lines)}\n\n{HEADS}" if lines else ""


def _told(row: Row | None, among: list[Row]) -> list[str]:
    """A student with its accuracy and deployed size, and what it gained over the best of its controls."""
    if row is None:
        return ["–", "–"]
    size = row.metric("deployed_mb").mean
    return [
        f"{row.name}, {row.case.epochs} ep: {row.accuracy().text()} at {size:.2f} MB deployed",
        smallest_gain(row, among),
    ]


def _trouble(chosen: Chosen, faults: list[str]) -> str:
    """Cases that ended badly with their messages, and how many have not run at all."""
    bad = [[case.id, status(found), found.message] for case, found in chosen if found and not is_done(found)]
    absent = sum(found is None for _, found in chosen)
    parts = [table(["case", "status", "message"], bad)] if bad else []
    parts += [f"{absent} cases have not run under the present configuration."] if absent else []
    parts += [f"* {fault}" for fault in faults]
    return "## What did not end well\n\n" + "\n\n".join(parts) if parts else ""
