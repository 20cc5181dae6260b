"""A linear probe: multinomial logistic regression on frozen embeddings, converged, without a random choice in the fit.

Mean cross-entropy + regularisation / 2 * ||W||^2, the bias free (scikit-learn's LogisticRegression at
C = 1 / (regularisation * N); of two classes, for which that fits one vector in place of two, at twice that C), full batch in
float64 with SciPy's L-BFGS from zero, on features standardised by the training set. The fits that only choose the
regularisation multiply in float32. Left out on purpose: augmentation and step sizes, whose tuning is what makes published
probes hard to compare.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from bench.measure import tiles

REGULARISATIONS = tuple(10.0**exponent for exponent in range(1, -7, -1))  # from strong to weak
HELD_OUT = 0.2
CLEARLY_WORSE = 2.0  # in standard deviations of the best count of held-out hits
# Of the final fit: a gradient g leaves the objective at most ||g||^2 / (2 * regularisation) above its minimum, so that a
# weak penalty asks for a smaller gradient.
GRADIENT_TOLERANCE, TOLERANCE_OF_WEAK = 1e-5, 3e-5
SELECTION_TOLERANCE = 1e-4  # of the fits that only choose the regularisation
LOWEST_LOGIT = -60.0  # in float32: the exponentials of lower ones may be denormal, with which a CPU is ten times slower
ITERATIONS = 1000
KEPT = 2**22  # numbers of samples that are kept centred: 32 MB in float64
WEAK = 1e-3  # the regularisation from which on probabilities are far from uniform, and fits take long
HESSIANS = 2**24  # numbers of classes' Hessians that are kept: 128 MB in float64
HESSIAN_ROWS = 128  # samples whose products of features are held together
ROWS = {"cpu": 1024, "cuda": 16384}  # samples that are looked at together: on a CPU they stay in the cache


@dataclass(frozen=True)
class Probe(tiles.Classified):
    """The result, the regularisation that was chosen, whether every component of the final fit's gradient is below
    the lesser of ``GRADIENT_TOLERANCE`` and ``TOLERANCE_OF_WEAK`` times the regularisation's root, and that fit; None where
    there is none."""

    regularisation: float
    converged: bool
    fit: "Fitted | None" = None


@dataclass(frozen=True, eq=False)
class Samples:
    """Embeddings ``[M, D]`` with ``targets [M]``, columns of the coefficients, of which those in ``rows [N]`` count.

    Their features are standardised and have a last column of ones. What is handed out is only centred, a tile at a time, so
    that there is no second copy of many embeddings (of few, ``kept`` has one in each precision); ``scale [D + 1]``
    standardises it.
    """

    embeddings: Tensor
    targets: Tensor
    mean: Tensor
    scale: Tensor
    rows: Tensor
    kept: dict = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.rows)

    def tiles(self, precision: torch.dtype = torch.float64) -> Iterable[tuple[Tensor, Tensor]]:
        """Centred embeddings and ones ``[n, D + 1]``, which the next may write over, and their targets ``[n]``."""
        if len(self) * len(self.scale) > KEPT:
            return self._tiles(precision)
        if precision not in self.kept:
            self.kept[precision] = [(centred.clone(), targets) for centred, targets in self._tiles(precision)]
        return self.kept[precision]

    def _tiles(self, precision: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
        at_once = ROWS[self.embeddings.device.type]
        tile = self.mean.new_ones(min(at_once, len(self)), len(self.scale), dtype=precision)
        mean = self.mean.to(precision)
        for rows in self.rows.split(at_once):
            centred = tile[: len(rows)]
            centred[:, :-1].copy_(self.embeddings[rows]).sub_(mean)
            yield centred, self.targets[rows]

    @cached_property
    def principal(self) -> "Hessian":
        """X'X / N of the features X, the Hessian but for the factor p(1 - p) of a class's probabilities."""
        products = sum(centred.T @ centred for centred, _ in self.tiles())
        return Hessian.of((products * self.scale * self.scale[:, None] / len(self))[None])

    def at_uniform(self, classes: int) -> "Hessian":
        """The Hessian by any class's coefficients where ``classes`` are equally likely, 1 - p taken for 1."""
        return replace(self.principal, values=self.principal.values / classes)

    def by_class(self, coefficients: Tensor) -> "Hessian":
        """The Hessian by each class's coefficients alone, at ``coefficients [D + 1, C]``, from float32 products.

        Where so many classes of so many features would fill the memory it is that at uniform probabilities.
        """
        width, classes = coefficients.shape
        if classes * width**2 > HESSIANS:
            return self.at_uniform(classes)
        one, other = torch.triu_indices(width, width, device=coefficients.device)
        of_centred = (self.scale[:, None] * coefficients).float()
        upper = of_centred.new_zeros(classes, len(one))
        for centred, _ in self.tiles(torch.float32):
            for part in centred.split(HESSIAN_ROWS):
                probabilities, features = (part @ of_centred).softmax(dim=1), part.T.contiguous()
                upper.addmm_((probabilities * (1 - probabilities)).T, (features[one] * features[other]).T)
        hessian = self.scale.new_zeros(classes, width, width)
        hessian[:, one, other] = hessian[:, other, one] = upper.double() / len(self)
        return Hessian.of(hessian * self.scale * self.scale[:, None])


@dataclass(frozen=True, eq=False)
class Hessian:
    """Second derivatives of the mean cross-entropy by a class's coefficients, of each class or of one for all.

    Features of real encoders vary a thousand times more along some directions than along others, and the loss is flatter
    for a class that few samples could be. ``values [1 or C, D + 1]`` are eigenvalues, ``vectors [1 or C, D + 1, D + 1]``
    eigenvectors, in columns.
    """

    values: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, matrices: Tensor) -> "Hessian":
        values, vectors = torch.linalg.eigh(matrices)
        return cls(values.clamp(min=0), vectors)

    def roots(self, regularisation: float) -> tuple[Tensor, Tensor]:
        """H^(1/2) and H^(-1/2), ``[1 or C, D + 1, D + 1]``, of the Hessian H with the penalty."""
        root = (self.values + regularisation).sqrt()[:, None]
        return (self.vectors * root) @ self.vectors.mT, (self.vectors / root) @ self.vectors.mT


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
    mean, deviation = _moments(train)
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
    gradient = _objective(samples, coefficients, regularisation)[1]
    return Fitted(classes, mean, scale, coefficients, regularisation, gradient.abs().max().item() <= tolerance)


def fit(
    samples: Samples,
    coefficients: Tensor,
    regularisation: float,
    hessian: "Hessian",
    tolerance: float,
    precision: torch.dtype = torch.float64,
) -> None:
    """Minimises the objective from ``coefficients [D + 1, C]``, in place, until its gradient is below the tolerance.

    The last row of the coefficients (the bias) is not regularised. In coordinates where the Hessian starts as the identity
    the same minimum is reached in a fraction of the steps.
    """
    into, back = hessian.roots(regularisation)
    steepest = np.inf

    def objective(inner: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal steepest
        there = _each(back, _tensor(inner, coefficients))
        loss, gradient = _objective(samples, there, regularisation, precision)
        steepest = gradient.abs().max().item()
        return loss.item(), _each(back, gradient).flatten().numpy(force=True)

    def stop(_: np.ndarray) -> None:
        if steepest <= tolerance:
            raise StopIteration

    # What ends the fit is the gradient of the coefficients, not SciPy's of its coordinates (gtol), nor the loss (ftol): a
    # weak penalty's stops changing long before its gradient.
    options = {"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "maxcor": 20, "gtol": 0.0, "ftol": 0.0}
    start = _each(into, coefficients).flatten().numpy(force=True)
    # SciPy's BLAS does not heed PyTorch's number of threads; on a busy machine its own mostly wait for each other (scipy#22438).
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        result = minimize(objective, start, jac=True, method="L-BFGS-B", callback=stop, options=options)
    coefficients.copy_(_each(back, _tensor(result.x, coefficients)))


def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device).view_as(like)


def _moments(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column, float64 ``[D]``, in two passes over tiles."""
    parts = embeddings.split(ROWS[embeddings.device.type])
    mean = sum(part.double().sum(dim=0) for part in parts) / len(embeddings)
    variance = sum((part.double() - mean).square().sum(dim=0) for part in parts) / len(embeddings)
    return mean, variance.sqrt()


def _each(matrices: Tensor, columns: Tensor) -> Tensor:
    """Each column of ``columns [D, C]`` multiplied by its matrix ``[1 or C, D, D]``."""
    if len(matrices) == 1:
        return matrices[0] @ columns
    return (matrices @ columns.T[:, :, None])[:, :, 0].T


def _objective(
    samples: Samples, coefficients: Tensor, regularisation: float, precision: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """The objective and its gradient, in closed form and in tiles of samples: the logits of all never exist."""
    loss, gradient = coefficients.new_zeros(()), torch.zeros_like(coefficients, dtype=precision)
    of_centred = (samples.scale[:, None] * coefficients).to(precision)
    for centred, targets in samples.tiles(precision):
        logits, own = centred @ of_centred, targets[:, None]
        logits -= logits.amax(dim=1, keepdim=True)
        loss -= logits.gather(1, own).sum()
        if precision == torch.float32:
            logits.clamp_(min=LOWEST_LOGIT)
        residual = logits.exp_()
        mass = residual.sum(dim=1, keepdim=True)
        loss += mass.log().sum()
        residual /= mass
        residual.scatter_add_(1, own, residual.new_full(own.shape, -1.0))
        gradient.addmm_(centred.T, residual)
    weights = coefficients[:-1]
    gradient = gradient.double() * samples.scale[:, None] / len(samples)
    gradient[:-1] += regularisation * weights
    return loss / len(samples) + regularisation / 2 * weights.square().sum(), gradient


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
