"""CBAM against a plain re-computation with numpy of Woo et al., 1807.06521, equations 2 and 3."""

import numpy as np
import torch
from scipy.signal import correlate2d
from scipy.special import expit

from students.cbam import RATIO, Cbam


def test_one_block_against_numpy():
    torch.manual_seed(0)
    block, grid = Cbam(32).double().eval(), torch.randn(2, 32, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        output, attention = block(grid)
    first, second = block.mlp[0].weight.detach().numpy(), block.mlp[2].weight.detach().numpy()
    kernel = block.spatial.weight.detach().numpy()[0]
    assert first.shape == (32 // RATIO, 32)
    for x, ours, mask in zip(grid.numpy(), output.numpy(), attention.numpy(), strict=True):
        gates = expit(sum(second @ np.maximum(first @ pooled, 0) for pooled in (x.mean((1, 2)), x.max((1, 2)))))
        refined = x * gates[:, None, None]
        maps = np.stack([refined.mean(0), refined.max(0)])
        spatial = expit(sum(correlate2d(m, k, mode="same") for m, k in zip(maps, kernel, strict=True)))
        np.testing.assert_allclose(mask[0], spatial, rtol=1e-10)
        np.testing.assert_allclose(ours, refined * spatial, rtol=1e-10)
