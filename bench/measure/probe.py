"""A linear probe: multinomial logistic regression on frozen embeddings, converged, without a random choice in the fit.

Mean cross-entropy + regularisation / 2 * ||W||^2, the bias free (scikit-learn's LogisticRegression at
C = 1 / (regularisation * N); of two classes, for which that fits one vector in place of two, at twice that C), full batch in float64 with L-BFGS from zero, on features standardised by the training
set. Left out on purpose: augmentation and step sizes, whose tuning is what makes published probes hard to compare.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.measure import tiles

REGULARISATIONS = tuple(10.0**exponent for exponent in range(1, -7, -1))  # from strong to weak
HELD_OUT = 0.2
# Of the final fit: a gradient g leaves the objective at most ||g||^2 / (2 * regularisation) above its minimum, so that a
# weak penalty asks for a smaller gradient.
GRADIENT_TOLERANCE, TOLERANCE_OF_WEAK = 1e-5, 3e-5
SELECTION_TOLERANCE = 1e-4  # of the fits that only choose the regularisation
ITERATIONS = 1000


@dataclass(frozen=True)
class Probe(tiles.Classified):
    """The result, the regularisation that was chosen, and whether every component of the final fit's gradient is below
    the lesser of ``GRADIENT_TOLERANCE`` and ``TOLERANCE_OF_WEAK`` times the regularisation's root."""

    regularisation: float
    converged: bool


@dataclass(frozen=True)
class Fitted:
    """A fit on embeddings ``[M, D]``: ``coefficients [D + 1, C]`` of standardised features and ones, float64.

    ``classes [C]`` are the labels of its columns, ``mean [D]`` and ``scale [D]`` those that standardise.
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
        weight = self.scale[:, None] * self.coefficients[:-1]
        return weight.T.float().contiguous(), (self.coefficients[-1] - self.mean @ weight).float()


def linear_probe(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, seed: int = 0) -> Probe:
    """Fits on ``train [M, D]`` with ``train_labels [M]`` (see :func:`fitted`) and scores ``test [N, D]`` with ``test_labels [N]``.

    A label that training lacks is never hit, and ties count against the model. Training embeddings that are not finite
    predict nothing.
    """
    if not train.isfinite().all():
        truth = torch.full_like(test_labels.to(train.device), -1)
        return Probe(0.0, 0.0, truth, REGULARISATIONS[0], False)
    made = fitted(train, train_labels, seed)
    truth = tiles.columns_of(test_labels.to(train.device), made.classes)
    parts = _predict(_standardised(test, made.mean, made.scale), truth, made.coefficients)
    result = tiles.classified(parts, made.classes)
    return Probe(**vars(result), regularisation=made.regularisation, converged=made.converged)


def fitted(train: Tensor, labels: Tensor, seed: int = 0, regularisation: float | None = None) -> Fitted:
    """Fits on finite ``train [M, D]`` with ``labels [M]``.

    The regularisation, where it is not given, is the one with the best top-1 on a class-stratified fifth of the training set that ``seed``
    picks (the stronger of equals); the fit is then repeated on all of it. Embeddings that were themselves trained on these
    labels have seen that fifth, and are regularised less than is best for them. Embeddings that are constant leave the
    class frequencies alone.
    """
    classes, targets = labels.to(train.device).unique(return_inverse=True)
    mean, deviation = train.double().mean(dim=0), train.double().std(dim=0, correction=0)
    # A feature that float32 cannot tell from a constant is none.
    scale = torch.where(deviation > tiles.TIE, 1 / deviation, 0.0)
    features = _standardised(train, mean, scale)
    if regularisation is None:
        held_out = _held_out(features, targets, len(classes), seed)
        regularisation, coefficients = _choose(features, targets, held_out, len(classes))
    else:
        coefficients = features.new_zeros(features.shape[1], len(classes))
    tolerance = min(GRADIENT_TOLERANCE, TOLERANCE_OF_WEAK * regularisation**0.5)
    converged = fit(features, targets, coefficients, regularisation, tolerance)
    return Fitted(classes, mean, scale, coefficients, regularisation, converged)


def fit(features: Tensor, targets: Tensor, coefficients: Tensor, regularisation: float, tolerance: float) -> bool:
    """Minimises the objective from ``coefficients [D, C]``, in place; whether the gradient came below the tolerance.

    ``features [M, D]`` float64, their last column ones, whose coefficients (the bias) are not regularised;
    ``targets [M]`` columns of the coefficients.
    """
    back, forth = _preconditioner(features, coefficients.shape[1], regularisation)
    inner = forth @ coefficients
    solver = torch.optim.LBFGS(
        [inner],
        max_iter=ITERATIONS,
        # The largest row sum bounds what the change of coordinates can add to the gradient.
        tolerance_grad=tolerance / forth.abs().sum(dim=1).max().item(),
        tolerance_change=0,  # a weak penalty's loss stops changing long before its gradient
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        loss, gradient = _objective(features, targets, back @ inner, regularisation)
        inner.grad = back @ gradient
        return loss

    solver.step(closure)
    coefficients.copy_(back @ inner)
    gradient = _objective(features, targets, coefficients, regularisation)[1]
    return gradient.abs().max().item() <= tolerance


def _preconditioner(features: Tensor, classes: int, regularisation: float) -> tuple[Tensor, Tensor]:
    """H^(-1/2) and H^(1/2), ``[D, D]``, of the Hessian of one class at uniform probabilities.

    Features of real encoders vary a thousand times more along some directions than along others. In coordinates
    where the Hessian starts as the identity the same minimum is reached in a fraction of the steps.
    """
    hessian = features.T @ features / (len(features) * classes)
    hessian.diagonal().add_(regularisation)
    values, vectors = torch.linalg.eigh(hessian)
    values = values.clamp(min=regularisation)
    return (vectors * values.rsqrt()) @ vectors.T, (vectors * values.sqrt()) @ vectors.T


def _objective(features: Tensor, targets: Tensor, coefficients: Tensor, regularisation: float) -> tuple[Tensor, Tensor]:
    """The objective and its gradient, in closed form and in tiles of rows: the logits of all samples never exist."""
    loss, gradient = coefficients.new_zeros(()), torch.zeros_like(coefficients)
    for rows in tiles.spans(len(features), tiles.GALLERY):
        x, own = features[rows], targets[rows, None]
        logarithms = (x @ coefficients).log_softmax(dim=1)
        loss -= logarithms.gather(1, own).sum()
        residual = logarithms.exp_()
        residual.scatter_add_(1, own, residual.new_full(own.shape, -1.0))
        gradient += x.T @ residual
    weights = coefficients[:-1]
    gradient /= len(features)
    gradient[:-1] += regularisation * weights
    return loss / len(features) + regularisation / 2 * weights.square().sum(), gradient


def _choose(features: Tensor, targets: Tensor, held_out: Tensor, classes: int) -> tuple[float, Tensor]:
    """The best regularisation on the held-out samples and its coefficients, each fit started from the stronger one."""
    fitted, fitted_targets = features[~held_out], targets[~held_out]
    coefficients = features.new_zeros(features.shape[1], classes)
    chosen, most = (REGULARISATIONS[0], coefficients), -1
    for regularisation in REGULARISATIONS:
        coefficients = coefficients.clone()
        fit(fitted, fitted_targets, coefficients, regularisation, SELECTION_TOLERANCE)
        parts = _predict(features[held_out], targets[held_out], coefficients)
        hits = sum(int((ranks == 1).sum()) for ranks, _ in parts)
        if hits > most:
            chosen, most = (regularisation, coefficients), hits
    return chosen[0], chosen[1].clone()


def _predict(features: Tensor, truth: Tensor, coefficients: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Ranks of the true columns and best columns, a tile of samples at a time (see ``tiles.class_ranks``)."""
    return [
        tiles.class_ranks(tiles.handicap_truth(features[rows] @ coefficients, truth[rows]), truth[rows])
        for rows in tiles.spans(len(features), tiles.GALLERY)
    ]


def _held_out(features: Tensor, targets: Tensor, classes: int, seed: int) -> Tensor:
    """A mask ``[M]`` of a fifth of each class, rounded, one at least, none of a class with a single sample.

    The samples of a class are drawn by their order along a random direction and not by their index, so that the
    same embeddings in another order are split alike.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(features.shape[1], dtype=torch.float64, generator=generator).to(features.device)
    shuffled = torch.randperm(len(features), generator=generator).to(features.device)

    def grouped(order: Tensor) -> Tensor:
        return order[targets[order].argsort(stable=True)]

    order = grouped(grouped((features @ direction).argsort(stable=True))[shuffled])
    counts = targets.bincount(minlength=classes)
    quota = torch.where(counts > 1, (HELD_OUT * counts).round().clamp(min=1), 0)
    ordered = targets[order]
    within = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[ordered]
    return torch.zeros_like(targets, dtype=torch.bool).index_fill_(0, order[within < quota[ordered]], True)


def _standardised(embeddings: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Standardised features with a last column of ones: float64 ``[N, D + 1]``."""
    features = (embeddings.double() - mean) * scale
    return torch.cat([features, features.new_ones(len(features), 1)], dim=1)
