"""The paper's tables in the paper's layout, printed beside measured; and what full-size models cost."""

from bench import registry
from bench.kit.markdown import count, folded, number, table
from bench.metrics import HEADLINE_TITLES
from bench.report.content import (
    Chosen,
    Report,
    Score,
    headline,
    paper_accuracy,
)
from bench.report.paper import publication
from bench.report.paper.claim_figures import Cell, claimed, measured
from bench.report.paper.full_sizes import full_sizes

INTRODUCTION = (
    "Printed values beside ours. Sizes are those of our full-size students. Accuracies, where "
    "this profile has students of a table's teachers, were measured on its own datasets and teachers, so they are not expected "
    "to agree; they stand in the paper's layout so that a reader can find them. The paper's accuracy is in-batch matching: "
    "for the vision-only teachers it compares a batch with itself and is 100 % for every model, trained or not, that gives "
    "different images different embeddings (ties count against it, so a collapsed one has less). Figure 1 prints percent, figure 2 shares of one."
)
HEADER = (
    "dataset", "student", "parameters", "MB", "MB, printed", "teacher", "student MACs", "deployed MB", "deployed MACs"
)  # fmt: skip
FULL_SIZE = (
    "Parameters, sizes (MB = parameters × 4 / 2^20) and MACs to embed one image, counted on full-size models without "
    "training. Deployed is all that must run: for a head, the teacher as well. Counted with PyTorch's own counter, which "
    "leaves out normalisation layers and adaptive pooling: fvcore, which counts the measured cases, gives ResNet-18 1.82 G "
    f"instead of 1.81 G at 224 px. Students that read pixels get {registry.constant('dataset', 'coco', 'SIDE')} px images for coco and "
    f"{registry.constant('dataset', 'tiny-imagenet', 'SIDE')} px images for tiny-imagenet."
)


def section(report: Report) -> str:
    """Both tables of the paper, of students with their own loss."""
    cases = claimed(report.students) + [item for item in report.students if item[0].variant]
    text = "\n\n".join([INTRODUCTION, *(_table(printed, cases) for printed in publication.paper().tables)])
    return f"## The paper's tables\n\n{folded('Printed and measured', text)}"


def _table(printed: publication.Table, cases: Chosen) -> str:
    names = publication.paper().columns
    columns = [(student, teacher) for student in printed.students for teacher in printed.teachers]
    header = ["", *(f"{names[student]} {teacher.upper()}" for student, teacher in columns)]
    sizes = {row["student"]: row["size_mb"] for row in full_sizes() if row["dataset"] == printed.dataset}
    unit = "%" if printed.kind == "captions" else "share"
    scores = {"Paper's accuracy": paper_accuracy, HEADLINE_TITLES[printed.kind]: headline}
    rows, own = [], [item for item in cases if item[0].kind == printed.kind and item[0].teacher in printed.teachers]
    for epochs, accuracies in printed.accuracy.items():
        rows += [
            [f"**epoch = {epochs}**", *[""] * len(columns)],
            ["Model Size (MB), printed", *(printed.size_mb.get(student, "–") for student, _ in columns)],
            ["Model Size (MB), ours", *(number(sizes[student], 3) for student, _ in columns)],
            [f"Accuracy, printed ({unit})", *(accuracies[teacher].get(student, "–") for student, teacher in columns)],
        ]
        for title, score in scores.items() if own else ():
            cells = (_cell(own, Cell(teacher, student, epochs), score) for student, teacher in columns)
            rows.append([f"{title}, measured (%)", *cells])
    return f"### {printed.title}\n\n" + table(header, rows)


def _cell(cases: Chosen, cell: Cell, score: Score) -> str:
    """An accuracy as the mean over seeds; what happened where a case is not done, or that only losses or recipes are compared."""
    own = [case for case, _ in cases if Cell(case.teacher, case.student, case.epochs) == cell]
    if own and all(case.variant for case in own):
        return "several recipes" if own[0].recipe else "several losses"
    figure = measured([item for item in cases if not item[0].variant], score)("accuracy", cell)
    return figure.text if figure.value is None else number(figure.value)


def full_size(report: Report) -> str:
    """Sizes and MACs of the full-size students, and of all that must run: the same in every report."""
    rows = [
        [
            row["dataset"], row["student"], f"{row['parameters']:,}", number(row["size_mb"], 3), row["printed"] or "–", teacher,
            count(cost["student_macs"]), number(cost["megabytes"], 1), count(cost["macs"]),
        ]
        for row in full_sizes()
        for teacher, cost in row["deployed"].items()
    ]  # fmt: skip
    text = f"{FULL_SIZE}\n\n{table([*HEADER], rows, text=(0, 1, 5))}"
    return f"## Full size\n\n{folded('Sizes and MACs of full-size students', text)}"
