"""PHI-S (Ranzinger et al., 2410.01680, section 2.2): features rotated so that one scalar standardises every dimension.

Principal components are turned by a Hadamard matrix, whose entries are all of one size, so that each output has the mean of
their variances. Nothing is whitened: angles and the order of distances stay, and the map can be inverted. With the authors'
choice of matrix (NVlabs/RADIO, 2fe5f72, examples/common/phi_s.py and hadamard.py).
"""

import math

import torch
from torch import Tensor, nn

ROWS = 4096  # that are brought to float64 at once
SMALLEST = 1e-12  # variance: features that do not vary are centred and no more


def fit_phi_s(rows: Tensor) -> nn.Linear:
    """A frozen layer ``[.., D] -> [.., D]`` after which ``rows [N, D]`` have mean 0 and, in each dimension, variance 1."""
    mean = rows.mean(dim=0, dtype=torch.float64).cpu()
    centred = (part.double().cpu() - mean for part in rows.split(ROWS))
    covariance = sum(part.T @ part for part in centred) / (len(rows) - 1)
    variances, vectors = torch.linalg.eigh(covariance)
    # Of an eigenvector and its opposite the one whose largest entry is positive: the same on every machine.
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(dim=0)[None]).sign()
    scale = variances.clamp_min(0).mean().clamp_min(SMALLEST).rsqrt()
    dtype = torch.promote_types(rows.dtype, torch.float32)  # of rows in half precision
    layer = nn.Linear(*covariance.shape, device=rows.device, dtype=dtype).requires_grad_(False)
    layer.weight.copy_(weight := scale * hadamard(len(mean)) @ vectors.T)
    layer.bias.copy_(-weight @ mean)
    return layer


def hadamard(width: int) -> Tensor:
    """An orthogonal float64 ``[D, D]`` whose entries are all 1 / sqrt(D) in size: Sylvester's doubling of one of Paley's.

    Of a width that has none of these, as one that 4 does not divide, it is a random rotation, which comes near.
    """
    for doublings in range((width & -width).bit_length() - 1, -1, -1):
        core = _paley(width >> doublings)
        if core is not None:
            for _ in range(doublings):
                core = torch.cat([torch.cat([core, core], dim=1), torch.cat([core, -core], dim=1)])
            return core / math.sqrt(width)
    signs = torch.rand(width, width, generator=torch.Generator().manual_seed(0)).round().double() * 2 - 1
    return torch.linalg.qr(signs).Q.T


def _paley(size: int) -> Tensor | None:
    """Paley's first or second construction over a prime field, ``[size, size]`` of 1 and -1; None where there is neither."""
    if size == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    if _is_prime(size - 1) and size % 4 == 0:
        matrix = torch.eye(size, dtype=torch.float64)
        matrix[0, 1:] = 1
        matrix[1:, 0] = -1
        matrix[1:, 1:] += _residues(size - 1)
        return matrix
    if size % 4 == 0 and _is_prime(size // 2 - 1) and size // 2 % 4 == 2:
        inner = torch.ones(size // 2, size // 2, dtype=torch.float64)
        inner[0, 0] = 0
        inner[1:, 1:] = _residues(size // 2 - 1)
        cells, diagonal = (torch.tensor(cell).double() for cell in ([[1, 1], [1, -1]], [[1, -1], [-1, -1]]))
        return torch.kron(inner, cells) + torch.kron(torch.eye(size // 2), diagonal)
    return None


def _residues(prime: int) -> Tensor:
    """Legendre symbols of i - j, ``[prime, prime]``: 0, 1 of a square, else -1."""
    numbers = torch.arange(prime)
    symbols = torch.full((prime,), -1.0, dtype=torch.float64)
    symbols[numbers**2 % prime] = 1
    symbols[0] = 0
    return symbols[(numbers[:, None] - numbers) % prime]


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
