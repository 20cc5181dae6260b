"""What scoring a case costs, by arithmetic: k-NN grows with test times training images, the probe with training images.

Seconds of one thread of a processor with AVX-512, see reports/speed.md; needs no torch. What is small beside them (fidelity,
retrieval, drawn data) is left out.
"""

from bench import data
from bench.data import prepared
from bench.plan.case import Case

PAIR = 1.5e-9  # of a test and a training image
PAIR_AND_NUMBER = 1.7e-11  # and for each number of an embedding
PIXEL_PAIR = 3.3e-12  # of two pixels, in integers
COEFFICIENT = 1.5e-10  # of the probe, an image and evaluation
EVALUATIONS = 300  # of a probe's objective: 100 to 1,800 were seen


def scoring_seconds(case: Case) -> tuple[float, float] | None:
    """Seconds to score a case of labelled files, its curve included, and once for the data set its pixels; None of others."""
    if case.is_drawn or case.kind != "classification":
        return None
    train, test = images_of(case)
    source = data.source(case.dataset, case.images)
    classes = len(prepared.index(source, "train")["classes"])
    # Each epoch and the student as initialised; probes of both its ends.
    curve = (case.epochs + 1) * train * test * (PAIR + PAIR_AND_NUMBER * case.embedding)
    probes = (1 + ("untrained" in case.controls)) * EVALUATIONS * train * case.embedding * classes * COEFFICIENT
    pixels = train * test * 3 * min(source.side, 64) ** 2 * PIXEL_PAIR if "raw-pixels" in case.controls else 0.0
    return curve + probes, pixels


def images_of(case: Case) -> tuple[int, int]:
    """How many training and test images the case has. Raises :class:`bench.kit.errors.UserError` where they are not prepared."""
    wanted = case.train_samples, case.test_samples
    if case.is_drawn:
        return wanted
    splits = prepared.manifest(data.source(case.dataset, case.images))["splits"]
    there = splits["train"]["images"], splits["test"]["images"]
    return tuple(count if most is None else min(count, most) for count, most in zip(there, wanted, strict=True))
