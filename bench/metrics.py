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
    "peak_memory_mb": ("MB", "lower"),
    "knn_top1": ("%", "higher"),
    "image_to_text_r1": ("%", "higher"),
    "image_to_text_r5": ("%", "higher"),
    "image_to_text_r10": ("%", "higher"),
    "text_to_image_r1": ("%", "higher"),
    "text_to_image_r5": ("%", "higher"),
    "text_to_image_r10": ("%", "higher"),
    "image_to_text_median_rank": ("rank", "lower"),
    "text_to_image_median_rank": ("rank", "lower"),
    "paper_accuracy": ("%", "higher"),
    "explained_variance_image": ("share", "higher"),
    "explained_variance_text": ("share", "higher"),
}
