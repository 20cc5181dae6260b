"""Records made by hand, whole enough to be read, for tests of what is done with them."""

from bench.metrics import HEADLINE, required
from bench.results.record import Record


def made(case, accuracy=60.0, untrained=1.0, **changes):
    """A finished record of ``case`` with all accuracies equal; ``changes`` replace its parts, ``metrics`` and ``protocol`` add to them."""
    entry = Record.of(case)
    entry.status, entry.message, entry.seconds = "done", "", 1.0
    precision = {"teacher": "bf16", "training": "fp32"}
    entry.environment["hardware"] |= {"device": "cpu", "threads": 2, "precision": precision}
    own = dict.fromkeys(required("accuracy", case.kind), accuracy)
    entry.metrics = own | {"paper_accuracy": 97.31, "epoch_seconds": 0.4, "teacher_pass_seconds": 3.0}
    entry.metrics |= dict.fromkeys(required("fidelity", case.kind), 0.5)
    if case.control is None:
        entry.metrics |= dict.fromkeys(required("cost", case.kind), 2.0) | {"size_mb": 0.25, "deployed_mb": 1.75}
    entry.metrics |= changes.pop("metrics", {})
    entry.teacher = dict.fromkeys(required("accuracy", case.kind), 65.0) | {"paper_accuracy": 100.0}
    before = (
        dict.fromkeys(required("accuracy", case.kind), untrained)
        | {"paper_accuracy": 100.0}
        | dict.fromkeys(required("fidelity", case.kind), 0.1)
    )
    entry.controls = {"untrained": before, "shuffled": dict.fromkeys(HEADLINE[case.kind], 0.9)}
    entry.in_batch = {"student": [[2, 99.0], [64, 90.0]], "teacher": [[2, 100.0], [64, 95.0]]}
    entry.curve = [{"epoch": 0} | dict.fromkeys(HEADLINE[case.kind], untrained)]
    scores = {name: entry.metrics[name] for name in HEADLINE[case.kind]}
    entry.curve += [{"epoch": epoch, "epoch_seconds": 0.4} | scores for epoch in range(1, case.epochs + 1)]
    entry.protocol = _protocol(case) | changes.pop("protocol", {})
    for name, value in changes.items():
        setattr(entry, name, value)
    return entry


def _protocol(case):
    """How a case was measured, as ``bench.measure.accuracy.protocol`` states it."""
    transform = {"size": 64, "short_side": 64, "interpolation": "bicubic"}
    return {
        "chance": dict.fromkeys(HEADLINE[case.kind], 0.2),
        "zero_shot_classes": None,
        "zero_shot_images": None,
        "train_images": 2048,
        "test_images": 500,
        "features": "on the device",
        "feature_store": "made",
        "teacher": {"source": "shipped file", "revision": None},
        "preprocessing": {one.teacher: transform for one in case.alone} if case.several else transform,
        "teacher_weights_sha256": "7" * 64,
        "leakage": {"seen": 0, "of": 500, "basis": "drawn with another seed"},
        "data": None,
        "probe": {"regularisation": 1.0, "converged": True} if case.kind == "classification" else None,
    }
