"""A linear probe: multinomial logistic regression on frozen embeddings, converged, without a random choice in the fit.

Mean cross-entropy + regularisation / 2 * ||W||^2, the bias free (scikit-learn's LogisticRegression at
C = 1 / (regularisation * N); of two classes, for which that fits one vector in place of two, at twice that C), full batch in
float64 with SciPy's L-BFGS from zero, on features standardised by the training set. The fits that only choose the
regularisation multiply in float32. Left out on purpose: augmentation and step sizes, whose tuning is what makes published
probes hard to compare.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.measure import tiles
from bench.measure.softmax_regression import Samples, fit, moments, objective

REGULARISATIONS = tuple(10.0**exponent for exponent in range(1, -7, -1))  # from strong to weak
HELD_OUT = 0.2
CLEARLY_WORSE = 2.0  # in standard deviations of the best count of held-out hits
# Of the final fit: a gradient g leaves the objective at most ||g||^2 / (2 * regularisation) above its minimum, so that a
# weak penalty asks for a smaller gradient.
GRADIENT_TOLERANCE, TOLERANCE_OF_WEAK = 1e-5, 3e-5
SELECTION_TOLERANCE = 1e-4  # of the fits that only choose the regularisation
WEAK = 1e-3  # the regularisation from which on probabilities are far from uniform, and fits take long


@dataclass(frozen=True)
class Probe(tiles.Classified):
    """The result, the regularisation that was chosen, whether every component of the final fit's gradient is below
    the lesser of ``GRADIENT_TOLERANCE`` and ``TOLERANCE_OF_WEAK`` times the regularisation's root, and that fit; None where
    there is none."""

    regularisation: float
    converged: bool
    fit: "Fitted | None" = None


@dataclass(frozen=True)
class Fitted:
    """A fit on embeddings ``[M, D]``: ``coefficients [D + 1, C]`` of standardised features and ones, float64.

    ``classes [C]`` are the labels of its columns, ``mean [D]`` and ``scale [D + 1]`` those that standardise.
    """

    classes: Tensor
    mean: Tensor
    scale: Tensor
    coefficients: Tensor
    regularisation: float
    converged: bool

    @property
    def linear(self) -> tuple[Tensor, Tensor]:
        """Weight ``[C, D]`` and bias ``[C]`` of the same on embeddings as they are, float32."""
        weight, bias = (self.scale[:, None] * self.coefficients).split([len(self.mean), 1])
        return weight.T.float().contiguous(), (bias[0] - self.mean @ weight).float()


def linear_probe(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, seed: int = 0) -> Probe:
    """Fits ``train [M, D]`` to ``train_labels [M]`` (see :func:`fitted`) and scores ``test [N, D]`` with ``test_labels [N]``.

    A label that training lacks is never hit, and ties count against the model. Training embeddings that are not finite
    predict nothing.
    """
    if not train.isfinite().all():
        truth = torch.full_like(test_labels.to(train.device), -1)
        return Probe(0.0, 0.0, truth, REGULARISATIONS[0], False)
    made = fitted(train, train_labels, seed)
    truth = tiles.columns_of(test_labels.to(train.device), made.classes)
    tested = Samples(test, truth, made.mean, made.scale, torch.arange(len(test), device=train.device))
    result = tiles.classified(_predict(tested, made.coefficients), made.classes)
    return Probe(**vars(result), regularisation=made.regularisation, converged=made.converged, fit=made)


def fitted(train: Tensor, labels: Tensor, seed: int = 0, regularisation: float | None = None) -> Fitted:
    """Fits on finite ``train [M, D]`` with ``labels [M]``.

    The regularisation, where it is not given, is the one with the best top-1 on a class-stratified fifth of the training set
    that ``seed`` picks: the stronger of equals, and none weaker than one that clearly overfits. The fit is then repeated on
    all of it. Embeddings that were themselves trained on these labels have seen that fifth, and are regularised less than is
    best for them. Of constant embeddings only the class frequencies remain.
    """
    classes, targets = labels.to(train.device).unique(return_inverse=True)
    mean, deviation = moments(train)
    # A feature that float32 cannot tell from a constant is none.
    scale = torch.cat([torch.where(deviation > tiles.TIE, 1 / deviation, 0.0), mean.new_ones(1)])
    samples = Samples(train, targets, mean, scale, torch.arange(len(train), device=train.device))
    if regularisation is None:
        regularisation, coefficients = _choose(samples, _held_out(samples, len(classes), seed), len(classes))
    else:
        coefficients = mean.new_zeros(len(scale), len(classes))
        fit(samples, coefficients, regularisation, samples.at_uniform(len(classes)), SELECTION_TOLERANCE, torch.float32)
    tolerance = min(GRADIENT_TOLERANCE, TOLERANCE_OF_WEAK * regularisation**0.5)
    hessian = samples.by_class(coefficients) if regularisation <= WEAK else samples.at_uniform(len(classes))
    fit(samples, coefficients, regularisation, hessian, tolerance)
    coefficients[-1] -= coefficients[-1].mean()  # predictions do not depend on it, so neither does the fit
    gradient = objective(samples, coefficients, regularisation)[1]
    return Fitted(classes, mean, scale, coefficients, regularisation, gradient.abs().max().item() <= tolerance)


def _choose(samples: Samples, held_out: Tensor, classes: int) -> tuple[float, Tensor]:
    """The best regularisation on the held-out samples and its coefficients, each fit started from the stronger one.

    Weaker ones than one that clearly overfits are left out: they cost most, and only overfit more.
    """
    fitted, unseen = (replace(samples, rows=samples.rows[mask]) for mask in (~held_out, held_out))
    coefficients = samples.mean.new_zeros(len(samples.scale), classes)
    hessian, chosen, most = fitted.at_uniform(classes), (REGULARISATIONS[0], coefficients), -1
    for regularisation in REGULARISATIONS:
        coefficients = coefficients.clone()
        if regularisation == WEAK:
            hessian = fitted.by_class(coefficients)
        fit(fitted, coefficients, regularisation, hessian, SELECTION_TOLERANCE, torch.float32)
        hits = sum(int((ranks == 1).sum()) for ranks, _ in _predict(unseen, coefficients))
        if hits > most:
            chosen, most = (regularisation, coefficients), hits
        elif hits < most - CLEARLY_WORSE * (most * (1 - most / len(unseen))) ** 0.5:
            break
    return chosen[0], chosen[1].clone()


def _predict(samples: Samples, coefficients: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Ranks of the targets and best columns, a tile of samples at a time (see ``tiles.class_ranks``)."""
    of_centred = samples.scale[:, None] * coefficients
    return [
        tiles.class_ranks(tiles.handicap_truth(centred @ of_centred, targets), targets)
        for centred, targets in samples.tiles()
    ]


def _held_out(samples: Samples, classes: int, seed: int) -> Tensor:
    """A mask ``[M]`` of a fifth of each class, rounded, one at least, none of a class with a single sample.

    The samples of a class are drawn by their order along a random direction and not by their index, so that the
    same embeddings in another order are split alike.
    """
    targets, device = samples.targets, samples.mean.device
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(len(samples.scale), dtype=torch.float64, generator=generator).to(device)
    shuffled = torch.randperm(len(targets), generator=generator).to(device)

    def grouped(order: Tensor) -> Tensor:
        return order[targets[order].argsort(stable=True)]

    along = torch.cat([centred @ (samples.scale * direction) for centred, _ in samples.tiles()])
    order = grouped(grouped(along.argsort(stable=True))[shuffled])
    counts = targets.bincount(minlength=classes)
    quota = torch.where(counts > 1, (HELD_OUT * counts).round().clamp(min=1), 0)
    ordered = targets[order]
    within = torch.arange(len(order), device=device) - (counts.cumsum(0) - counts)[ordered]
    return torch.zeros_like(targets, dtype=torch.bool).index_fill_(0, order[within < quota[ordered]], True)
