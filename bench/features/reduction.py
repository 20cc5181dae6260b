"""Reduces a teacher's features to the width that its students expect: a PCA, never a random layer.

It is fitted once, on features of a sample of the training split, and serves both splits. It is kept beside the stores
in ``reduction.safetensors``, with a digest; a damaged one is fitted again.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.data.split import Split
from bench.features.columns import drawn_captions
from bench.features.forward import CAPTION_CHUNK, CHUNK, Needs, Pass
from bench.kit import tensor_file
from bench.kit.paths import shown

PCA_ROWS = 4096


class Pca(nn.Linear):
    """A map to the K principal components, as a linear layer ``[.., D] -> [.., K]`` with the mean in its bias."""

    def __init__(self, weight: Tensor, bias: Tensor, explained_variance: float):
        super().__init__(weight.shape[1], weight.shape[0])
        self.explained_variance = explained_variance
        self.weight = nn.Parameter(weight.float().contiguous(), requires_grad=False)
        self.bias = nn.Parameter(bias.float(), requires_grad=False)


@dataclass(frozen=True)
class Reduction:
    """The PCAs of image and text features, the seconds of fitting them, and a digest.

    Both are None where the width stays, the text's also without captions.
    """

    image: Pca | None = None
    text: Pca | None = None
    seconds: float = 0.0
    digest: str = ""


def load_or_fit(work: Pass, folder: Path, train: Split, threads: ThreadPoolExecutor) -> Reduction:
    """The teacher's reduction for this training split, kept in ``folder``; fitted where it is not there whole."""
    if work.teacher.reduce_to is None:
        return Reduction()
    path = folder / "reduction.safetensors"
    try:
        tensors, facts = tensor_file.read(path)
    except (tensor_file.DamagedError, OSError):
        if path.exists():
            work.say(f"{shown(path)} is damaged; the reduction is fitted again")
        start = time.perf_counter()
        tensors = _fit(work, train, threads)
        facts = {"seconds": time.perf_counter() - start}
        tensor_file.save(path, tensors, facts)
    image, text = (
        Pca(tensors[f"{side}.weight"], tensors[f"{side}.bias"], tensors[f"{side}.explained"].item()).to(work.device)
        if f"{side}.weight" in tensors
        else None
        for side in ("image", "text")
    )
    return Reduction(image, text, facts["seconds"], tensor_file.digest(tensors))


def _fit(work: Pass, train: Split, threads: ThreadPoolExecutor) -> dict[str, Tensor]:
    """PCAs fitted on pooled features and as many other tokens of a sample of the training split.

    One map has to serve pooled features and tokens, so both count the same; of few images, several tokens are drawn.
    """
    generator = torch.Generator().manual_seed(0)
    count = min(len(train), PCA_ROWS // 2)
    chosen = torch.randperm(len(train), generator=generator)[:count].sort().values
    several = max(1, PCA_ROWS // (2 * count))
    whole = replace(work, needs=Needs(True, True))
    images, texts, tensors = [], [], {}
    for rows in chosen.split(CHUNK):
        tokens = whole.images(work.view(train, rows.tolist(), threads), None)["tokens"].float().cpu()
        images += [_drawn(one, several, generator) for one in tokens]
    # Any of an image's captions: the first may follow a pattern of its own.
    owned = drawn_captions(train.owner, chosen, generator).split(CAPTION_CHUNK) if train.captions else ()
    for rows in owned:
        captions = [train.captions[row] for row in rows]
        tokens = whole.texts(captions, None)["text_tokens"].float().cpu()
        texts += [_drawn(one, several, generator) for one in tokens.split(work.teacher.lengths(captions).tolist())]
    for side, drawn in (("image", images), *([("text", texts)] if texts else [])):
        pca = fit_pca(torch.cat(drawn), work.teacher.reduce_to)
        tensors |= {f"{side}.weight": pca.weight.data, f"{side}.bias": pca.bias.data}
        tensors[f"{side}.explained"] = torch.tensor(pca.explained_variance, dtype=torch.float64)
    return tensors


def _drawn(tokens: Tensor, several: int, generator: torch.Generator) -> Tensor:
    """The pooled token ``several`` times and as many of the others, drawn: ``[2 several, D]``."""
    others = 1 + torch.randint(len(tokens) - 1, (several,), generator=generator)
    return torch.cat([tokens[:1].expand(several, -1), tokens[others]])


def fit_pca(rows: Tensor, width: int) -> Pca:
    """Principal components of ``rows [M, D]``, in float64; signs fixed so that the largest entry is positive."""
    rows = rows.double().cpu()
    mean = rows.mean(dim=0)
    variances, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean))
    components = vectors[:, -width:].flip(1)
    components = components * components.gather(0, components.abs().argmax(dim=0)[None]).sign()
    explained = variances[-width:].sum() / variances.sum()
    return Pca(components.T, -(mean @ components), explained.item())
