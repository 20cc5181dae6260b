"""The Markdown report, section by section; the paper's tables are in ``paper_tables``."""

from bench import prepared
from bench.compare import Verdict
from bench.report import origins, paper_tables
from bench.report.scores import HEADLINE, Chosen, count, headline, is_done, number, status, table

WEIGHTS = {
    "pocket": "**Pocket teachers**: small models that were trained on generated images and ship with the suite. Their "
    "figures show that the machinery works and how students compare here; they say nothing about the full-size models.",
    "pocket on real images": "**Pocket teachers**: small models that were trained on the training images of the same "
    "real set and ship with the suite. They are no match for the full-size models, about which their figures say nothing.",
    "random": "**Random teachers**: full-size architectures with random weights, a control for timing and sizes. "
    "Accuracies say nothing about the pretrained models.",
    "pretrained": "Pretrained teachers of full size. beit was fine-tuned on labels after its masked pre-training.",
}
COLUMNS = {
    "classification": {"knn_top1": "k-NN"},
    "captions": {
        "image_to_text_r1": "I→T R@1",
        "image_to_text_r10": "I→T R@10",
        "text_to_image_r1": "T→I R@1",
        "text_to_image_r10": "T→I R@10",
    },
}
COSTS = ["student MB", "deployed MB", "student MACs", "deployed MACs", "ms (batch 1)", "ms (batch 64)", "s / epoch"]
HEADS = (
    "A head (projection, bottleneck, attention, cbam) reads the teacher's features: at inference it needs the teacher, so "
    "its own size is not the size of what is deployed. Only resnet and densenet replace the teacher, and only its image "
    "side: captions, where there are any, still pass through the teacher's text tower."
)


def page(profile: str, chosen: Chosen, faults: list[str], verdict: Verdict | None) -> str:
    """The whole report."""
    sections = [
        f"# distill-bench: profile `{profile}`",
        _what_ran(chosen),
        _summary(chosen),
        _baseline(verdict),
        "![Accuracy against the size of all that must run](accuracy.svg)",
        *(_teacher_section(dataset, teacher, chosen) for dataset, teacher in _pairs(chosen)),
        paper_tables.printed_and_measured(chosen),
        paper_tables.full_size(),
        origins.section(chosen),
        _trouble(chosen, faults),
        _protocol(chosen),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _pairs(chosen: Chosen) -> list[tuple[str, str]]:
    return list(dict.fromkeys((case.dataset, case.teacher) for case, _ in chosen))


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


def _summary(chosen: Chosen) -> str:
    """The best student of each teacher, among all and among those that embed images without it."""
    rows = []
    for dataset, teacher in _pairs(chosen):
        done = [
            (headline(case.kind, found.metrics), case, found)
            for case, found in chosen
            if (case.dataset, case.teacher) == (dataset, teacher) and is_done(found)
        ]
        if not done:
            continue
        kind = done[0][1].kind
        best = max(done, key=lambda item: item[0])
        alone = max((item for item in done if item[1].reads == "pixels"), key=lambda item: item[0], default=None)
        own = number(headline(kind, done[0][2].teacher))
        rows.append([f"{teacher} on {dataset}", HEADLINE[kind], own, _named(best), _named(alone)])
    header = [
        "teacher",
        "accuracy (%)",
        "teacher itself",
        "best student",
        "best that embeds images without the teacher",
    ]
    return f"## Summary\n\n{table(header, rows)}\n\n{HEADS}" if rows else ""


def _named(item: tuple | None) -> str:
    if item is None:
        return "–"
    accuracy, case, found = item
    return f"{case.student}, {case.epochs} ep: {accuracy:.1f} at {found.metrics['deployed_mb']:.2f} MB deployed"


def _teacher_section(dataset: str, teacher: str, chosen: Chosen) -> str:
    mine = [(case, found) for case, found in chosen if (case.dataset, case.teacher) == (dataset, teacher)]
    kind = mine[0][0].kind
    header = ["student", "epochs", *COLUMNS[kind].values(), "gain over untrained", "paper protocol", *COSTS]
    own = next((found.teacher for _, found in mine if is_done(found)), None)
    rows = [[f"**{teacher} itself**", "–", *_figures(kind, own, None)]] if own else []
    for case, found in mine:
        name = case.student + (f" s{case.seed}" if case.several_seeds else "")
        if is_done(found):
            gain = headline(kind, found.metrics) - headline(kind, found.curve[0])
            rows.append([name, str(case.epochs), *_figures(kind, found.metrics, gain)])
        else:
            rows.append([name, str(case.epochs), status(found), *["–"] * (len(header) - 3)])
    return f"## {teacher} on {dataset}\n\n" + table(header, rows)


def _figures(kind: str, measured: dict, gain: float | None) -> list[str]:
    """The cells of a row from its accuracies on, of a student or of a teacher."""
    return [
        *(number(measured.get(name)) for name in COLUMNS[kind]),
        "–" if gain is None else f"{gain:+.1f}",
        number(measured.get("paper_accuracy")),
        number(measured.get("size_mb"), 3),
        number(measured.get("deployed_mb"), 3),
        count(measured.get("macs")),
        count(measured.get("deployed_macs")),
        number(measured.get("latency_ms_batch_1"), 2),
        number(measured.get("latency_ms_batch_64"), 1),
        number(measured.get("epoch_seconds"), 3),
    ]


def _trouble(chosen: Chosen, faults: list[str]) -> str:
    """Cases that ended badly with their messages, and how many have not run at all."""
    bad = [[case.id, status(found), found.message] for case, found in chosen if found and not is_done(found)]
    absent = sum(found is None for _, found in chosen)
    parts = [table(["case", "status", "message"], bad)] if bad else []
    parts += [f"{absent} cases have not run under the present configuration."] if absent else []
    parts += [f"* {fault}" for fault in faults]
    return "## What did not end well\n\n" + "\n\n".join(parts) if parts else ""


def _protocol(chosen: Chosen) -> str:
    precisions = sorted(
        {
            found.environment["hardware"].get("precision", {}).get("training", "an unknown precision")
            for _, found in chosen
            if is_done(found)
        }
    )
    stored = sorted({case.features for case, _ in chosen})
    batches = sorted({case.batch_size for case, _ in chosen})
    told = " or ".join(f"{batch} (chance {100 / batch:.2f} %)" for batch in batches)
    return f"""## Protocol

* k-NN: k = 20, T = 0.07, votes weighted by exp(cosine / T), the bank is the whole training split, the queries are the whole evaluation split.
* Recall: the whole gallery of evaluation images and all their captions; a hit if any of an image's captions is in the top k. Ties count against the model.
* Paper protocol: in-batch matching, computed exactly from the ranks for B = {told}.
* Gain over untrained: points above the same student before training. An untrained head on a good teacher's features is not at chance.
* MACs are multiply-accumulates to embed one image, counted with fvcore; FLOPs are about twice that. Deployed is everything that must run for it.
* Epoch seconds: training only; evaluation, checkpoints and the teacher's pass are outside. Latency: median of the deployed path, warm.
* Features were stored in {" and ".join(stored)}; students trained in {" and ".join(precisions) or "–"}.
* One seed unless said otherwise: differences of a point or two are noise.{_reductions(chosen)}"""


def _reductions(chosen: Chosen) -> str:
    """What a PCA kept of the features of teachers that are wider than their students."""
    kept = {
        case.teacher: (found.metrics["explained_variance_image"], found.metrics["explained_variance_text"])
        for case, found in chosen
        if is_done(found) and found.metrics.get("explained_variance_image") is not None
    }
    return "".join(
        f"\n* {teacher}'s features were reduced by a PCA that keeps {100 * image:.1f} % of the image and {100 * text:.1f} % of "
        "the text features' variance."
        for teacher, (image, text) in kept.items()
    )
