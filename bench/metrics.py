"""The metrics of a record: of each its unit, and the direction that is better."""

# "equal" means that the metric must not change at all.
METRICS = {
    "parameters": ("parameters", "equal"),
    "size_mb": ("MB", "equal"),
    "macs": ("MACs", "equal"),
    "deployed_mb": ("MB", "equal"),
    "deployed_macs": ("MACs", "equal"),
    "epoch_seconds": ("s", "lower"),
    "teacher_pass_seconds": ("s", "lower"),
    "latency_ms_batch_1": ("ms", "lower"),
    "latency_ms_batch_64": ("ms", "lower"),
    "images_per_second": ("images/s", "higher"),
    "inference_memory_mb": ("MB", "lower"),
    "energy_mj_per_image": ("mJ", "lower"),
    "peak_memory_mb": ("MB", "lower"),
    "knn_top1": ("%", "higher"),
    "knn_top5": ("%", "higher"),
    "probe_top1": ("%", "higher"),
    "probe_top5": ("%", "higher"),
    "image_to_text_r1": ("%", "higher"),
    "image_to_text_r5": ("%", "higher"),
    "image_to_text_r10": ("%", "higher"),
    "image_to_text_map_r": ("%", "higher"),
    "image_to_text_median_rank": ("rank", "lower"),
    "text_to_image_r1": ("%", "higher"),
    "text_to_image_r5": ("%", "higher"),
    "text_to_image_r10": ("%", "higher"),
    "text_to_image_median_rank": ("rank", "lower"),
    "zero_shot_top1": ("%", "higher"),
    "zero_shot_top5": ("%", "higher"),
    "paper_accuracy": ("%", "higher"),
    "neighbour_overlap_10": ("%", "higher"),
    "cka": ("share", "higher"),
    "agreement_1": ("%", "higher"),
    "similarity_kl": ("nats", "lower"),
    "explained_variance_image": ("share", "higher"),
    "explained_variance_text": ("share", "higher"),
}
# What every record has: of the kind of its data, and, unless it is a trained control's, of its cost.
HEADLINE = {"classification": ("knn_top1",), "captions": ("image_to_text_r1", "text_to_image_r1")}
ACCURACIES = {
    "classification": ("knn_top1", "knn_top5", "probe_top1", "probe_top5"),
    "captions": (
        *(f"image_to_text_{what}" for what in ("r1", "r5", "r10", "map_r", "median_rank")),
        *(f"text_to_image_{what}" for what in ("r1", "r5", "r10", "median_rank")),
    ),
}
FIDELITY = ("neighbour_overlap_10", "cka", "agreement_1", "similarity_kl")
COSTS = (
    "parameters", "size_mb", "deployed_mb", "macs", "deployed_macs", "latency_ms_batch_1", "latency_ms_batch_64",
    "images_per_second",
)  # fmt: skip

# No measure of ours is larger; beyond it sums and squares overflow.
LARGEST = 1e100


def measurable(value: object) -> bool:
    """Whether a value is a number that a metric can have: neither NaN nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
