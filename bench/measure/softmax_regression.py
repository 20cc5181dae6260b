"""Softmax regression in closed form: samples in tiles, their Hessians, and the fit of :mod:`bench.measure.probe`.

The objective is the mean cross-entropy + regularisation / 2 * ||W||^2, the bias free, on standardised features.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

LOWEST_LOGIT = -60.0  # in float32: the exponentials of lower ones may be denormal, with which a CPU is ten times slower
ITERATIONS = 1000
KEPT = 2**22  # numbers of samples that are kept centred: 32 MB in float64
HESSIANS = 2**24  # numbers of classes' Hessians that are kept: 128 MB in float64
HESSIAN_ROWS = 128  # samples whose products of features are held together
ROWS = {"cpu": 1024, "cuda": 16384}  # samples that are looked at together: on a CPU they stay in the cache


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


def moments(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column, float64 ``[D]``, in two passes over tiles."""
    parts = embeddings.split(ROWS[embeddings.device.type])
    mean = sum(part.double().sum(dim=0) for part in parts) / len(embeddings)
    variance = sum((part.double() - mean).square().sum(dim=0) for part in parts) / len(embeddings)
    return mean, variance.sqrt()


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

    def of_coordinates(inner: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal steepest
        there = _each(back, _tensor(inner, coefficients))
        loss, gradient = objective(samples, there, regularisation, precision)
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
        result = minimize(of_coordinates, start, jac=True, method="L-BFGS-B", callback=stop, options=options)
    coefficients.copy_(_each(back, _tensor(result.x, coefficients)))


def _tensor(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device).view_as(like)


def _each(matrices: Tensor, columns: Tensor) -> Tensor:
    """Each column of ``columns [D, C]`` multiplied by its matrix ``[1 or C, D, D]``."""
    if len(matrices) == 1:
        return matrices[0] @ columns
    return (matrices @ columns.T[:, :, None])[:, :, 0].T


def objective(
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
