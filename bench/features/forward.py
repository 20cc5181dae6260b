"""A pass of a frozen teacher: the key of what it stores, and its features of some images or captions, by array name.

The key is of all that decides what the features are: the teacher's tensors, its preprocessing and tokenizer, precision,
element type, the data, and the code that makes them. Library versions are written beside the store, and differences are
logged.

Features are brought from the device to the CPU beside the teacher's work on the next ones; overflow is an error.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.split import Split
from bench.features.device import images_at_once, machine
from bench.kit import paths, tensor_file
from bench.kit.array_store import StoreError
from bench.kit.files import seal, unseal, write_text
from bench.plan import fingerprint
from teachers import Teacher, attended, sent

FORMAT = 1  # of about.json
LIBRARIES = ("torch", "timm", "open_clip_torch", "transformers", "pillow")
CHUNK = 128  # images that are read at once, and on a GPU pass through the teacher at once
CAPTION_CHUNK = 512  # captions are short: fewer would leave a GPU waiting for the next launch
CAPTIONS_ON_CPU = 64  # at once: more of them leave its caches


@dataclass(frozen=True)
class Needs:
    """What students and losses need of the features: patch tokens, captions' tokens, attention; and the stored element type."""

    tokens: bool
    text_tokens: bool
    dtype: str = "float16"
    attention: bool = True


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

    def images(self, pixels: Tensor, pca: nn.Module | None) -> dict[str, Tensor]:
        """Features of uint8 images, by array name, on the device."""
        parts = [self._images(part, pca) for part in pixels.split(self.at_once(len(pixels)))]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def at_once(self, most: int = CHUNK) -> int:
        """How many images pass through the teacher at once."""
        return images_at_once(self.device, self.teacher.size, most)

    @torch.no_grad()
    def _images(self, pixels: Tensor, pca: nn.Module | None) -> dict[str, Tensor]:
        with self.mixed():
            shown = pixels.to(self.device, non_blocking=True)
            features = attended(self.teacher, shown) if self.needs.attention else self.teacher.image(shown)
        tokens = features.pooled[:, None]
        if self.needs.tokens:
            tokens = torch.cat([tokens, features.patches], dim=1)
        tokens = pca(tokens.float()) if pca else tokens
        arrays = {"pooled": tokens[:, 0], "joint": features.joint}
        arrays |= {"attention": features.attention} if self.needs.attention else {}
        return arrays | ({"tokens": tokens} if self.needs.tokens else {})

    def texts(self, captions: list[str], pca: nn.Module | None) -> dict[str, Tensor]:
        """Features of captions, by array name, the tokens of all captions one after the other."""
        at_once = CAPTIONS_ON_CPU if self.device.type == "cpu" else len(captions)
        starts = range(0, len(captions), at_once)
        parts = [self._texts(captions[start : start + at_once], pca) for start in starts]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @torch.no_grad()
    def _texts(self, captions: list[str], pca: nn.Module | None) -> dict[str, Tensor]:
        with self.mixed():
            features = self.teacher.text(captions)
        pooled = pca(features.pooled.float()) if pca else features.pooled
        arrays = {"text_pooled": pooled, "text_joint": features.joint}
        if self.needs.text_tokens:
            inside = torch.arange(features.tokens.shape[1]) < features.lengths[:, None]
            tokens = features.tokens.flatten(0, 1)[sent(inside.flatten().nonzero()[:, 0], self.device)]
            arrays["text_tokens"] = pca(tokens.float()) if pca else tokens
        return arrays


OnDevice = tuple[dict[str, Tensor], Tensor, "torch.cuda.Event | None"]


def gathered(parts: list[dict[str, Tensor]], dtype: str) -> OnDevice:
    """The arrays of several forward passes, one after the other, in their stored type; nothing here waits for the device.

    With the least and largest values of each before it was brought to that type, NaN where one was, float32 ``[arrays, K]``,
    and the event after which all of it is computed.
    """
    kept = {name: torch.cat([part[name].to(getattr(torch, dtype)) for part in parts]) for name in parts[0]}
    bounds = [[bound for part in parts for bound in part[name].aminmax()] for name in kept]
    extremes = torch.stack([torch.stack(row).float() for row in bounds])
    ready = torch.cuda.current_stream(extremes.device).record_event() if extremes.is_cuda else None
    return kept, extremes, ready


def to_cpu(made: OnDevice, work: Pass, stream: "torch.cuda.Stream | None") -> dict[str, np.ndarray]:
    """The arrays on the CPU, on CUDA copied on ``stream``; raises :class:`StoreError` where one is not finite or overflows."""
    arrays, extremes, ready = made
    if stream is not None:
        with torch.cuda.stream(stream):
            stream.wait_event(ready)
            arrays, extremes = {name: _pinned(values) for name, values in arrays.items()}, _pinned(extremes)
        stream.synchronize()
    for (name, values), largest in zip(arrays.items(), extremes.abs().amax(dim=1).tolist(), strict=True):
        if not math.isfinite(largest):
            raise StoreError(
                f"{work.name}: the teacher's {name} is not finite in {work.precision}; try --precision fp32, and another "
                "checkpoint if that does not help"
            )
        if largest > torch.finfo(values.dtype).max:
            raise StoreError(
                f"{work.name}: the teacher's {name} has values beyond {work.needs.dtype}, up to {largest:.3g}; store the "
                "features of this profile with 'features: float32' in matrix.yaml"
            )
    return {name: values.numpy() for name, values in arrays.items()}


def _pinned(values: Tensor) -> Tensor:
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)


def weights_digest(teacher: Teacher) -> str:
    """sha256 of the names and contents of all of a teacher's tensors."""
    return tensor_file.digest({name: tensor.cpu().contiguous() for name, tensor in teacher.state_dict().items()})


def keyed(work: Pass, train: Split, test: Split, digest: str) -> tuple[Pass, Path]:
    """The pass and its folder: that of its own needs, or a complete one that holds more and serves as well."""
    own = work.needs
    # The poorest first, which is its own: all of what is opened is checked.
    passes = [
        replace(work, needs=replace(own, tokens=tokens, text_tokens=text_tokens, attention=attention))
        for attention in sorted({own.attention, True})
        for tokens in sorted({own.tokens, True})
        for text_tokens in sorted({own.text_tokens, own.text_tokens or bool(train.captions)})
    ]
    stores = [(one, paths.features_of(f"{one.name}-{key(one, train, test, digest)}")) for one in passes]
    return next(((one, folder) for one, folder in stores if (folder / "complete").exists()), stores[0])


def key(work: Pass, train: Split, test: Split, digest: str) -> str:
    """The key of what ``work`` stores; ``digest`` is that of the teacher's weights."""
    teacher = work.teacher
    facts = {
        "weights": digest, "transform": teacher.transform, "tokenizer": teacher.tokenizer, "scale": teacher.scale,
        "reduce_to": teacher.reduce_to, "precision": work.precision, "needs": vars(work.needs),
        "data": [_described(train), _described(test)],
        "code": [fingerprint.digest(path) for path in code(teacher)],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def code(teacher: Teacher) -> list[Path]:
    """The files that make features of this teacher."""
    own = Path(sys.modules[type(teacher).__module__].__file__)
    folders = ("bench/data", "bench/features", "teachers")
    return [*(file for folder in folders for file in fingerprint.shared(folder)), own]


def note_origin(work: Pass, folder: Path, digest: str) -> str:
    """Write what does not belong to the key, or log that the store was made with other libraries.

    Returns the machine that began the pass, whose seconds the store holds; "a machine that is not known" where that was
    damaged.
    """
    here = {name: metadata.version(name) for name in LIBRARIES}
    path = folder / "about.json"
    about = {
        "format": FORMAT, "name": work.name, "machine": machine(work.device), "libraries": here, "weights": digest,
        "precision": work.precision, "provenance": work.teacher.provenance, "needs": vars(work.needs),
    }  # fmt: skip
    try:
        about = unseal(path.read_text(encoding="utf-8"), FORMAT)
    except FileNotFoundError:
        write_text(path, seal(about))
    except (OSError, ValueError) as error:
        work.say(f"{paths.shown(path)} is damaged ({error}); it is written anew")
        about["machine"] = "a machine that is not known"
        write_text(path, seal(about))
    there = about["libraries"]
    if changed := [f"{name} {there.get(name)} (now {here[name]})" for name in here if there.get(name) != here[name]]:
        work.say(f"features {folder.name} were stored with {', '.join(changed)}; a sample is checked all the same")
    return about["machine"]


def _described(split: Split) -> list:
    """What the teacher sees of a split, and in which order."""
    owner = "" if split.owner is None else hashlib.sha256(split.owner.numpy()).hexdigest()
    return [split.identity, list(split.pixels.shape), len(split.captions), owner]
