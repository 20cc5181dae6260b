"""The forward pass of a frozen teacher: features of some images or captions, by the names of the stored arrays."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.data.split import Split
from teachers import Teacher, sent

CHUNK = 128  # images that pass through the teacher at once
CAPTION_CHUNK = 512  # captions are short: fewer would leave a GPU waiting for the next launch


@dataclass(frozen=True)
class Needs:
    """What students need of the features: patch tokens, captions' tokens, and the stored element type."""

    tokens: bool
    text_tokens: bool
    dtype: str = "float16"


@dataclass(frozen=True)
class Pass:
    """A teacher on its device, which of its features are needed, and where lines and progress for the user go."""

    name: str  # <dataset>-<teacher>
    teacher: Teacher
    device: torch.device
    precision: str  # fp32, tf32 or bf16
    needs: Needs
    say: Callable[[str], None]
    task: Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

    def mixed(self) -> AbstractContextManager:
        """Surrounds every forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def view(self, split: Split, rows: list[int], threads: ThreadPoolExecutor) -> Tensor:
        """The pixels of some images as this teacher reads them, on the CPU, ready to be copied to the device."""
        pixels = split.view(rows, self.teacher.transform, threads)
        return pixels.pin_memory() if self.device.type == "cuda" else pixels

    @torch.no_grad()
    def images(self, pixels: Tensor, pca: nn.Module | None) -> dict[str, Tensor]:
        """Features of uint8 images, by array name, on the device."""
        with self.mixed():
            features = self.teacher.image(pixels.to(self.device, non_blocking=True))
        tokens = features.pooled[:, None]
        if self.needs.tokens:
            tokens = torch.cat([tokens, features.patches], dim=1)
        tokens = pca(tokens.float()) if pca else tokens
        arrays = {"pooled": tokens[:, 0], "attention": features.attention, "joint": features.joint}
        return arrays | ({"tokens": tokens} if self.needs.tokens else {})

    @torch.no_grad()
    def texts(self, captions: list[str], pca: nn.Module | None) -> dict[str, Tensor]:
        """Features of captions, by array name, the tokens of all captions one after the other."""
        with self.mixed():
            features = self.teacher.text(captions)
        pooled = pca(features.pooled.float()) if pca else features.pooled
        arrays = {"text_pooled": pooled, "text_joint": features.joint}
        if self.needs.text_tokens:
            inside = torch.arange(features.tokens.shape[1]) < features.lengths[:, None]
            tokens = features.tokens.flatten(0, 1)[sent(inside.flatten().nonzero()[:, 0], self.device)]
            arrays["text_tokens"] = pca(tokens.float()) if pca else tokens
        return arrays
