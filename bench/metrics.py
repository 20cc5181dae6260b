"""The metrics of a record, one row each. Adding one is writing its row here and the function that the row names.

A function is ``module:name`` under ``bench.measure``. It returns a number, or a dict of the numbers of several rows, which
then name the same function. Of an "accuracy" it is called with the model that is scored
(:class:`bench.measure.model.Model`), of "fidelity" with the student and its teacher. Costs, and what training itself
says, are measured together by :mod:`bench.measure.cost`: their rows name no function.
"""

from dataclasses import dataclass

KINDS = CLASSES, CAPTIONS, IMAGES = "classification", "captions", "images"  # of data


@dataclass(frozen=True)
class Metric:
    """A metric: its unit, what is better ("higher", "lower", or "equal": it must not change at all), its column's title and
    digits (None: a count, written with a prefix), and whether it depends on the machine.

    ``group`` is "accuracy", "fidelity", "cost", "training" or "teacher" (its pass and its features); ``kinds`` those of
    the data that have it.
    ``required``: a finished record has it, but of a trained control no cost.
    """

    name: str
    unit: str
    better: str
    title: str
    digits: int | None
    group: str
    function: str | None = None
    kinds: tuple[str, ...] = KINDS
    machine: bool = False
    required: bool = True


def _cost(name: str, unit: str, better: str, title: str, digits: int | None, **more) -> Metric:
    return Metric(name, unit, better, title, digits, "cost", **more)


def _accuracy(name: str, title: str, function: str, *kinds: str, unit: str = "%", **more) -> Metric:
    return Metric(name, unit, "lower" if unit == "rank" else "higher", title, 1, "accuracy", function, kinds, **more)


def _fidelity(name: str, unit: str, better: str, title: str, digits: int, function: str, *kinds: str) -> Metric:
    of_data = {"kinds": kinds} if kinds else {}
    return Metric(name, unit, better, title, digits, "fidelity", f"fidelity:{function}", **of_data)


ROWS = (
    _cost("parameters", "parameters", "equal", "parameters", None),
    _cost("size_mb", "MB", "equal", "student MB", 3),
    _cost("deployed_mb", "MB", "equal", "deployed MB", 3),
    _cost("macs", "MACs", "equal", "student MACs", None),
    _cost("deployed_macs", "MACs", "equal", "deployed MACs", None),
    Metric("epoch_seconds", "s", "lower", "s / epoch", 3, "training", machine=True),
    Metric("teacher_pass_seconds", "s", "lower", "s / teacher's pass", 2, "teacher", machine=True, required=False),
    _cost("latency_ms_batch_1", "ms", "lower", "ms (batch 1)", 2, machine=True),
    _cost("latency_ms_batch_64", "ms", "lower", "ms (batch 64)", 1, machine=True),
    _cost("images_per_second", "images/s", "higher", "images / s", 0, machine=True),
    _cost("inference_memory_mb", "MB", "lower", "memory MB", 1, machine=True, required=False),
    _cost("energy_mj_per_image", "mJ", "lower", "mJ / image", 2, machine=True, required=False),
    Metric("peak_memory_mb", "MB", "lower", "peak MB", 0, "training", machine=True, required=False),
    _accuracy("knn_top1", "k-NN top-1", "accuracy:neighbours", CLASSES),
    _accuracy("knn_top5", "k-NN top-5", "accuracy:neighbours", CLASSES),
    _accuracy("knn_train_top1", "k-NN top-1 of training images", "accuracy:training_neighbours", CLASSES, required=False),
    _accuracy("probe_top1", "probe top-1", "accuracy:probe", CLASSES),
    _accuracy("probe_top5", "probe top-5", "accuracy:probe", CLASSES),
    _accuracy("image_to_text_r1", "I→T R@1", "accuracy:recalls", CAPTIONS),
    _accuracy("image_to_text_r5", "I→T R@5", "accuracy:recalls", CAPTIONS),
    _accuracy("image_to_text_r10", "I→T R@10", "accuracy:recalls", CAPTIONS),
    _accuracy("image_to_text_map_r", "I→T mAP@R", "accuracy:precision", CAPTIONS),
    _accuracy("image_to_text_median_rank", "I→T median rank", "accuracy:recalls", CAPTIONS, unit="rank"),
    _accuracy("text_to_image_r1", "T→I R@1", "accuracy:recalls", CAPTIONS),
    _accuracy("text_to_image_r5", "T→I R@5", "accuracy:recalls", CAPTIONS),
    _accuracy("text_to_image_r10", "T→I R@10", "accuracy:recalls", CAPTIONS),
    _accuracy("text_to_image_median_rank", "T→I median rank", "accuracy:recalls", CAPTIONS, unit="rank"),
    _accuracy("zero_shot_top1", "zero-shot top-1", "accuracy:of_concepts", CLASSES, CAPTIONS, required=False),
    _accuracy("zero_shot_top5", "zero-shot top-5", "accuracy:of_concepts", CLASSES, CAPTIONS, required=False),
    _accuracy("paper_accuracy", "paper's accuracy", "accuracy:in_batch", CLASSES, CAPTIONS),
    _fidelity("neighbour_overlap_10", "%", "higher", "shared neighbours of 10 (%)", 1, "shared_neighbours"),
    _fidelity("teachers_nearest_1", "%", "higher", "teacher's nearest R@1 (%)", 1, "teachers_nearest", IMAGES),
    _fidelity("teachers_nearest_10", "%", "higher", "teacher's nearest R@10 (%)", 1, "teachers_nearest", IMAGES),
    _fidelity("cka", "share", "higher", "linear CKA", 3, "cka"),
    _fidelity("agreement_1", "%", "higher", "agreement@1 (%)", 1, "same_answers", CLASSES, CAPTIONS),
    _fidelity("similarity_kl", "nats", "lower", "KL of similarities (nats)", 3, "divergence"),
    Metric("explained_variance_image", "share", "higher", "variance kept, images", 3, "teacher", required=False),
    Metric("explained_variance_text", "share", "higher", "variance kept, captions", 3, "teacher", required=False),
)  # fmt: skip
METRICS = {row.name: row for row in ROWS}
# What a report leads with, by the kind of the data: their mean where there are several.
HEADLINE = {
    CLASSES: ("knn_top1",),
    CAPTIONS: ("image_to_text_r1", "text_to_image_r1"),
    IMAGES: ("teachers_nearest_10",),  # no accuracy: how often the student finds what its teacher finds
}
HEADLINE_TITLES = {
    CLASSES: "k-NN top-1",
    CAPTIONS: "R@1, mean of both directions",
    IMAGES: "teacher's nearest, R@10",
}
LARGEST = 1e100  # no measure of ours is larger; beyond it sums and squares overflow


def of_group(group: str, kind: str | None = None) -> list[Metric]:
    """The rows of a group, in their order; with ``kind`` those that data of this kind have."""
    return [row for row in ROWS if row.group == group and (kind is None or kind in row.kinds)]


def required(group: str, kind: str) -> tuple[str, ...]:
    """The metrics of a group that every finished record of this kind of data has."""
    return tuple(row.name for row in of_group(group, kind) if row.required)


def measurable(value: object) -> bool:
    """Whether a value is a number that a metric can have: neither NaN nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
