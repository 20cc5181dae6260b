"""The Markdown report, section by section."""

from bench import paper
from bench.compare import Verdict
from bench.fullsize import PIXELS, full_sizes
from bench.report.scores import HEADLINE, Chosen, count, headline, number, status, table

WEIGHTS = {
    "pocket": "**Pocket teachers**: small models that were trained on generated images and ship with the suite. Their "
    "figures show that the machinery works and how students compare here; they say nothing about the full-size models.",
    "random": "**Random teachers**: full-size architectures with random weights, a control for timing and sizes. "
    "Accuracies say nothing about the pretrained models.",
    "pretrained": "Pretrained teachers of full size. beit was fine-tuned on labels after its masked pre-training.",
}


def page(profile: str, chosen: Chosen, faults: list[str], verdict: Verdict | None) -> str:
    """The whole report."""
    sections = [
        f"# distill-bench: profile `{profile}`",
        _what_ran(chosen),
        _summary(chosen),
        _baseline(verdict),
        "![Accuracy against the size of all that must run](accuracy.svg)",
        *(_teacher_section(dataset, teacher, chosen) for dataset, teacher in _pairs(chosen)),
        _paper_section(chosen),
        _full_size_section(),
        _trouble(chosen, faults),
        _protocol(chosen),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _pairs(chosen: Chosen) -> list[tuple[str, str]]:
    return list(dict.fromkeys((case.dataset, case.teacher) for case, _ in chosen))


def _what_ran(chosen: Chosen) -> str:
    done = [found for _, found in chosen if found and found.status == "done"]
    lines = [f"{len(done)} of {len(chosen)} cases are done. {WEIGHTS[chosen[0][0].weights]}"]
    if done:
        newest = max(done, key=lambda found: found.started)
        hardware, software = newest.environment["hardware"], newest.environment["software"]
        git = newest.environment["git"]
        dirty = ", with uncommitted changes" if git["dirty"] else ""
        total = sum(found.seconds or 0 for found in done)
        lines.append(
            f"Run on {hardware['device']} ({hardware['processor']}, {hardware['threads']} threads), Python {software['python']}, "
            f"torch {software['torch']}, commit `{(git['commit'] or 'unknown')[:10]}`{dirty}, {newest.started}; "
            f"{total:.0f} s of work in all."
        )
    return "\n\n".join(lines)


def _baseline(verdict: Verdict | None) -> str:
    return "" if verdict is None else "## Baseline\n\n```\n" + "\n".join(verdict.lines()) + "\n```"


def _summary(chosen: Chosen) -> str:
    """The best student of each teacher, among all and among those that run without it."""
    rows = []
    for dataset, teacher in _pairs(chosen):
        done = [
            (headline(case.kind, found.metrics), case, found)
            for case, found in chosen
            if (case.dataset, case.teacher) == (dataset, teacher) and found and found.status == "done"
        ]
        if not done:
            continue
        own = headline(done[0][1].kind, done[0][2].teacher)
        best = max(done, key=lambda item: item[0])
        alone = max((item for item in done if item[1].reads == "pixels"), key=lambda item: item[0], default=None)
        rows.append([f"{teacher} on {dataset}", HEADLINE[best[1].kind], number(own), _named(best), _named(alone)])
    if not rows:
        return ""
    header = ["teacher", "accuracy (%)", "teacher itself", "best student", "best that runs without the teacher"]
    return (
        "## Summary\n\n"
        + table(header, rows)
        + (
            "\n\nA head (projection, bottleneck, attention, cbam) reads the teacher's features: at inference it needs the "
            "teacher, so its own size is not the size of what is deployed. Only resnet and densenet replace the teacher."
        )
    )


def _named(item: tuple | None) -> str:
    if item is None:
        return "–"
    accuracy, case, found = item
    return f"{case.student}, {case.epochs} epochs: {accuracy:.1f} at {found.metrics['deployed_mb']:.2f} MB deployed"


def _teacher_section(dataset: str, teacher: str, chosen: Chosen) -> str:
    mine = [(case, found) for case, found in chosen if (case.dataset, case.teacher) == (dataset, teacher)]
    kind = mine[0][0].kind
    columns = (
        ["knn_top1"]
        if kind == "classification"
        else ["image_to_text_r1", "image_to_text_r10", "text_to_image_r1", "text_to_image_r10"]
    )
    names = {"knn_top1": "k-NN", "image_to_text_r1": "I→T R@1", "image_to_text_r10": "I→T R@10", "text_to_image_r1": "T→I R@1", "text_to_image_r10": "T→I R@10"}  # fmt: skip
    header = ["student", "epochs", *(names[c] for c in columns), "gain over untrained", "paper protocol",
              "student MB", "deployed MB", "student MACs", "deployed MACs", "ms (batch 1)", "ms (batch 64)", "s / epoch"]  # fmt: skip
    rows = [_teacher_row(teacher, columns, mine)]
    for case, found in mine:
        name = case.student + (f" s{case.seed}" if case.several_seeds else "")
        if found is None or found.status != "done":
            rows.append([name, str(case.epochs), status(found), *["–"] * (len(header) - 3)])
            continue
        m = found.metrics
        gain = headline(kind, m) - headline(kind, found.curve[0])
        rows.append(
            [name, str(case.epochs), *(number(m[c]) for c in columns), f"{gain:+.1f}", number(m["paper_accuracy"]),
             number(m["size_mb"], 3), number(m["deployed_mb"], 3), count(m["macs"]), count(m["deployed_macs"]),
             number(m["latency_ms_batch_1"], 2), number(m["latency_ms_batch_64"], 1), number(m["epoch_seconds"], 3)]
        )  # fmt: skip
    return f"## {teacher} on {dataset}\n\n" + table(header, rows)


def _teacher_row(teacher: str, columns: list[str], mine: Chosen) -> list[str]:
    scores = next((found.teacher for _, found in mine if found and found.status == "done"), {})
    return [f"**{teacher}, the teacher itself**", "", *(number(scores.get(c)) for c in columns), "",
            number(scores.get("paper_accuracy")), *[""] * 7]  # fmt: skip


def _paper_section(chosen: Chosen) -> str:
    parts = [
        "## The paper's tables\n\nPrinted values beside ours. Sizes are those of our full-size students. Accuracies were "
        "measured in this profile, on its own datasets and teachers, so they are not expected to agree; they stand in the "
        "paper's layout so that a reader can find them. The paper's accuracy is in-batch matching: for the vision-only "
        "teachers it compares a batch with itself and is 100 for any model, trained or not."
    ]
    return "\n\n".join([*parts, *(_paper_table(printed, chosen) for printed in paper.tables())])


def _paper_table(printed: paper.Table, chosen: Chosen) -> str:
    names = paper.columns()
    header = [
        "",
        *(f"{names[student]} {teacher.upper()}" for student in printed.students for teacher in printed.teachers),
    ]
    cells = [(student, teacher) for student in printed.students for teacher in printed.teachers]
    sizes = {row.student: row for row in full_sizes() if row.dataset == printed.dataset}
    rows = []
    for epochs in printed.accuracy:
        found = {
            (case.student, case.teacher): (case, entry)
            for case, entry in chosen
            if case.epochs == epochs and case.kind == printed.kind
        }
        rows += [
            [f"**epoch = {epochs}**", *[""] * len(cells)],
            ["Model Size (MB), printed", *(printed.size_mb.get(student, "–") for student, _ in cells)],
            ["Model Size (MB), ours", *(number(sizes[student].size_mb, 3) for student, _ in cells)],
            ["Accuracy, printed", *(printed.accuracy[epochs][teacher].get(student, "–") for student, teacher in cells)],
            ["Accuracy, paper protocol, measured", *(_cell(found.get(cell), "paper_accuracy") for cell in cells)],
            [f"{HEADLINE[printed.kind]}, measured", *(_cell(found.get(cell), None) for cell in cells)],
        ]
    return f"### {printed.title}\n\n" + table(header, rows)


def _cell(pair: tuple | None, metric: str | None) -> str:
    if pair is None or pair[1] is None or pair[1].status != "done":
        return status(pair[1] if pair else None)
    case, found = pair
    return number(found.metrics[metric] if metric else headline(case.kind, found.metrics))


def _full_size_section() -> str:
    header = [
        "dataset",
        "student",
        "parameters",
        "MB",
        "MB, printed",
        "teacher",
        "student MACs",
        "deployed MB",
        "deployed MACs",
    ]
    rows = []
    for row in full_sizes():
        for teacher in row.deployed:
            cost = row.deployed[teacher]
            rows.append([row.dataset, row.student, f"{row.parameters:,}", number(row.size_mb, 3), row.printed or "–", teacher,
                         count(cost.student_macs), number(cost.megabytes, 1), count(cost.macs)])  # fmt: skip
    return (
        "## Full size\n\nParameters, sizes (MB = parameters × 4 / 2^20) and MACs (multiply-accumulates; FLOPs are about twice "
        "that) to embed one image, counted on full-size models without training. Deployed is all that must run: for a "
        f"head, the teacher as well. Students on pixels read {PIXELS['coco']} px for coco and "
        f"{PIXELS['tiny-imagenet']} px for tiny-imagenet.\n\n" + table(header, rows)
    )


def _trouble(chosen: Chosen, faults: list[str]) -> str:
    rows = [
        [case.id, status(found), found.message if found else "no record under the present configuration"]
        for case, found in chosen
        if found is None or found.status != "done"
    ]
    parts = [table(["case", "status", "message"], rows)] if rows else []
    parts += [f"* {fault}" for fault in faults]
    return "## What did not end well\n\n" + "\n".join(parts) if parts else ""


def _protocol(chosen: Chosen) -> str:
    case = chosen[0][0]
    variances = {
        c.teacher: f"{found.metrics['explained_variance_image']:.3f} of the image and {found.metrics['explained_variance_text']:.3f} of the text features' variance"
        for c, found in chosen
        if found and found.metrics.get("explained_variance_image")
    }
    kept = "".join(f" {teacher}'s features were reduced by PCA, keeping {text}." for teacher, text in variances.items())
    return f"""## Protocol

* k-NN: k = 20, T = 0.07, votes weighted by exp(cosine / T), bank of {case.train_samples:,} training images, {case.test_samples:,} held-out queries.
* Recall: the whole gallery of {case.test_samples:,} held-out images and all their captions; a hit if any of an image's captions is in the top k.
* Paper protocol: in-batch matching, computed exactly from the ranks for B = {case.batch_size} (chance {100 / case.batch_size:.2f} %).
* Gain over untrained: points above the same student before training. An untrained head on a good teacher's features is not at chance.
* Epoch seconds: training only; evaluation, checkpoints and the teacher's pass are outside. Latency: median of the deployed path, warm.
* One seed unless said otherwise: differences of a point or two are noise.{kept}"""
