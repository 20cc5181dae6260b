"""Several teachers for one student: their features side by side, each balanced by PHI-S, from the stores that each has alone.

A teacher's dimensions have the same variance after PHI-S (:mod:`bench.features.phi_s`), and its part is divided by the root
of their number: however wide its features and however large their values, each teacher counts the same. The squared
distance of two joint embeddings, before they are brought to unit length, is then the sum over teachers of the mean squared
error, which is what RADIO's student learns by. Left out on purpose: patches and attention, whose grids differ between
teachers, and captions, for which teachers have no space in common.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from bench.features.columns import Features
from bench.features.extract import TeacherFeatures
from bench.features.phi_s import fit_phi_s
from teachers import ImageFeatures, Teacher, unit

Arrays = dict[str, Tensor]


class SideBySide(nn.Module):
    """``[.., D1 + D2 + ...]`` to the same: each teacher's part through its own map."""

    def __init__(self, widths: Sequence[int], maps: Sequence[nn.Module]):
        super().__init__()
        self.widths, self.maps = list(widths), nn.ModuleList(maps)

    def forward(self, features: Tensor) -> Tensor:
        parts = zip(self.maps, features.split(self.widths, dim=-1), strict=True)
        return torch.cat([each(part) for each, part in parts], dim=-1)


class Several(nn.Module):
    """Teachers as one :class:`teachers.Teacher`: pooled features side by side as each gives them, and the ``joint`` embedding
    balanced."""

    reduce_to = tokenizer = None

    def __init__(self, teachers: Mapping[str, Teacher], joint: nn.Module):
        super().__init__()
        self.teachers, self.joint = nn.ModuleDict(teachers), joint
        self.size = max(teacher.size for teacher in teachers.values())
        self.scale = sum(teacher.scale for teacher in teachers.values()) / len(teachers)
        self.transform = {name: teacher.transform for name, teacher in teachers.items()}
        facts = [teacher.provenance for teacher in teachers.values()]
        self.provenance = {
            key: _listed(one.get(key) for one in facts) for key in ("library", "name", "source", "revision")
        }

    def vision(self) -> nn.Module:
        return nn.ModuleList(teacher.vision() for teacher in self.teachers.values())

    def image(self, pixels: Tensor) -> ImageFeatures:
        parts = [teacher.image(pixels) for teacher in self.teachers.values()]
        pooled, joint = (
            torch.cat([getattr(part, name).float() for part in parts], dim=1) for name in ("pooled", "joint")
        )
        return ImageFeatures(pooled, None, None, unit(self.joint(joint)))


def joint_digest(digests: Iterable[str]) -> str:
    """sha256 of those of each teacher's tensors: which teachers they are, in this order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def side_by_side(several: Mapping[str, tuple[Teacher, TeacherFeatures]], dtype: str) -> tuple[Several, TeacherFeatures]:
    """The teachers as one, by their names, and its features of the same images as theirs, as ``dtype`` in memory.

    The maps are fitted on the training images.
    """
    parts = [features for _, features in several.values()]
    pooled, joint = (_balance(parts, name) for name in ("pooled", "joint"))
    teacher = Several({name: one for name, (one, _) in several.items()}, joint)
    device = parts[0].train.device

    def joined(several: Sequence[Arrays]) -> Arrays:
        """In chunks, as all of it in single precision may not fit."""
        arrays: Arrays = {}
        for name, layer in (("pooled", pooled), ("joint", joint)):
            chunks = zip(*(arrays_of_one[name].split(4096) for arrays_of_one in several), strict=True)
            rows = (layer(torch.cat([one.float().to(device) for one in chunk], dim=1)) for chunk in chunks)
            rows = map(unit, rows) if name == "joint" else rows
            arrays[name] = torch.cat([one.to(getattr(torch, dtype)).to(several[0][name].device) for one in rows])
        return arrays

    def of_split(features: Sequence[Features]) -> Features:
        arrays = joined([{name: one.source(name) for name in ("pooled", "joint")} for one in features])
        return Features(features[0].split, arrays, teacher.scale, features[0].device)

    def views(count: int) -> tuple[Arrays, float]:
        stored, seconds = zip(*(part.views(count) for part in parts), strict=True)
        return joined(stored), sum(seconds)

    # Composed with what each teacher's pooled features are reduced by: from pixels to what a head reads.
    maps = [
        each if part.image_pca is None else nn.Sequential(part.image_pca, each)
        for part, each in zip(parts, pooled.maps, strict=True)
    ]
    widths = [
        width if part.image_pca is None else part.image_pca.in_features
        for part, width in zip(parts, pooled.widths, strict=True)
    ]
    digest = joint_digest(part.weights_digest for part in parts)
    return teacher, TeacherFeatures(
        of_split([part.train for part in parts]), of_split([part.test for part in parts]), None,
        SideBySide(widths, maps), None, sum(part.seconds for part in parts), _listed(part.machine for part in parts),
        "+".join(part.key for part in parts), digest, lambda pixels: joined([part.ask(pixels) for part in parts]), views,
    )  # fmt: skip


def _balance(parts: Sequence[TeacherFeatures], name: str) -> SideBySide:
    """The map of all teachers' arrays of this name, each to a total variance of 1."""
    maps = []
    for part in parts:
        rows = part.train.source(name)
        layer = fit_phi_s(rows).to(part.train.device)
        for values in (layer.weight, layer.bias):
            values /= math.sqrt(rows.shape[1])
        maps.append(layer)
    return SideBySide([layer.in_features for layer in maps], maps)


def _listed(facts) -> str | None:
    """Different facts of the teachers, joined; None where none has any."""
    return " + ".join(dict.fromkeys(str(fact) for fact in facts if fact)) or None
