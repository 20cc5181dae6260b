"""The paper's tables in the paper's layout, printed beside measured; and what full-size models cost."""

from bench import registry
from bench.kit.markdown import count, number, table
from bench.report.paper import publication
from bench.report.paper.claim_figures import claimed
from bench.report.paper.full_sizes import full_sizes
from bench.report.results import HEADLINE_TITLES, Chosen, Score, headline, is_done, paper_accuracy, status
from bench.report.seeds import Spread

INTRODUCTION = (
    "## The paper's tables\n\nPrinted values beside ours. Sizes are those of our full-size students. Accuracies, where "
    "this profile has students of a table's teachers, were measured on its own datasets and teachers, so they are not expected "
    "to agree; they stand in the paper's layout so that a reader can find them. The paper's accuracy is in-batch matching: for the vision-only teachers it compares a "
    "batch with itself and is 100 % for every model, trained or not, that gives different images different embeddings "
    "(ties count against it, so a collapsed one has less). Figure 1 prints percent, figure 2 shares of one."
)
SEVERAL_LOSSES = "several losses"


def printed_and_measured(chosen: Chosen) -> str:
    """Both tables of the paper, of students with their own loss."""
    compared = [(case, found) for case, found in chosen if case.several_losses and case.control is None]
    chosen = claimed(chosen) + compared
    return "\n\n".join([INTRODUCTION, *(_table(printed, chosen) for printed in publication.tables())])


def _table(printed: publication.Table, chosen: Chosen) -> str:
    names = publication.columns()
    cells = [(student, teacher) for student in printed.students for teacher in printed.teachers]
    header = ["", *(f"{names[student]} {teacher.upper()}" for student, teacher in cells)]
    sizes = {row.student: row.size_mb for row in full_sizes() if row.dataset == printed.dataset}
    unit = "%" if printed.kind == "captions" else "share"
    rows, own = [], [(c, f) for c, f in chosen if c.kind == printed.kind and c.teacher in printed.teachers]
    for epochs, accuracies in printed.accuracy.items():
        found = {
            cell: [(c, f) for c, f in own if (c.student, c.teacher, c.epochs) == (*cell, epochs)] for cell in cells
        }
        rows += [
            [f"**epoch = {epochs}**", *[""] * len(cells)],
            ["Model Size (MB), printed", *(printed.size_mb.get(student, "–") for student, _ in cells)],
            ["Model Size (MB), ours", *(number(sizes[student], 3) for student, _ in cells)],
            [f"Accuracy, printed ({unit})", *(accuracies[teacher].get(student, "–") for student, teacher in cells)],
        ]
        if own:
            rows += [
                ["Paper's accuracy, measured (%)", *(_cell(found[cell], paper_accuracy) for cell in cells)],
                [
                    f"{HEADLINE_TITLES[printed.kind]}, measured (%)",
                    *(_cell(found[cell], headline) for cell in cells),
                ],
            ]
    return f"### {printed.title}\n\n" + table(header, rows)


def _cell(found: Chosen, score: Score) -> str:
    """An accuracy as the mean over seeds; what happened where a case is not done, or that only losses are compared."""
    own = [(case, entry) for case, entry in found if not case.several_losses]
    if found and not own:
        return SEVERAL_LOSSES
    bad = [entry for _, entry in own if not is_done(entry)]
    if bad or not own:
        return status(bad[0] if bad else None)
    return number(Spread.of([score(case.kind, entry.metrics) for case, entry in own]).mean)


def full_size() -> str:
    """Sizes and MACs of the full-size students, and of all that must run."""
    header = ["dataset", "student", "parameters", "MB", "MB, printed", "teacher", "student MACs", "deployed MB"]
    rows = [
        [
            row.dataset,
            row.student,
            f"{row.parameters:,}",
            number(row.size_mb, 3),
            row.printed or "–",
            teacher,
            count(cost.student_macs),
            number(cost.megabytes, 1),
            count(cost.macs),
        ]
        for row in full_sizes()
        for teacher, cost in row.deployed.items()
    ]
    return (
        "## Full size\n\nParameters, sizes (MB = parameters × 4 / 2^20) and MACs to embed one image, counted on full-size "
        "models without training. Deployed is all that must run: for a head, the teacher as well. Counted with PyTorch's own "
        "counter, which leaves out normalisation layers and adaptive pooling: fvcore, which counts the measured cases, gives "
        f"ResNet-18 1.82 G instead of 1.81 G at 224 px. Students that read pixels get {_side('coco')} px images for coco and "
        f"{_side('tiny-imagenet')} px images for tiny-imagenet.\n\n"
        + table([*header, "deployed MACs"], rows, text=(0, 1, 5))
    )


def _side(dataset: str) -> int:
    """Height and width in pixels of a prepared set's images."""
    return registry.constant("dataset", dataset, "SIDE")
