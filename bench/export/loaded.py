"""Loads what ``python -m bench export`` wrote: from raw pixels, and captions, to embeddings.

    from bench.export import load
    model = load("DIR")
    model.image(pixels), model.text(captions)

A head reads its teacher's features, so the teacher is loaded beside it, and refused where it is not the very one that the
student was trained with. Everything is safetensors and JSON; nothing in the folder is executed.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel
from safetensors.torch import load as read_safetensors
from torch import Tensor, nn

import teachers
from bench import registry
from bench.declared import LibraryModel, LibraryStudent
from bench.features.forward import weights_digest
from bench.features.reduction import Pca
from bench.kit.environment import commit
from bench.kit.errors import UserError, nearest
from bench.kit.files import unseal
from bench.measure.cost import Deployed
from students import Dims, Student, build

FORMAT = 4
WEIGHTS, CONFIG = "model.safetensors", "config.json"


class ExportError(UserError):
    """What another library makes of an exported file is not what the student computes."""


class TeacherConfig(BaseModel):
    """Which teacher a student was trained with: how it is loaded, and what tells it from another.

    ``sha256`` is that of its tensors; ``revision`` the hub's commit; ``licence`` None where none is stated; ``model`` is a
    library's.
    """

    name: str
    weights: Literal[teachers.KINDS]
    trained_on: str | None
    revision: str | None
    licence: str | None
    sha256: str
    transform: dict
    tokenizer: dict | None
    provenance: dict
    model: LibraryModel | None = None


class ClassifierConfig(BaseModel):
    """Names of the ``classes`` of a linear classifier, column by column; its ``top1`` on the test split, in percent."""

    classes: list[str]
    top1: float
    regularisation: float


class Config(BaseModel):
    """``config.json``, with the sha256 of its own content: what is needed to build the model again, and how it came about.

    ``student_model`` describes a student of a library, ``student_licence`` is that of the weights it started from, and
    ``trunk_width`` that of its features. ``side`` and ``crop`` say what pictures it reads: squares of so many pixels, the
    middle cut out or all of the picture squashed. ``explained_variance`` is that of the reduction of the teacher's features
    by side, if there was one. ``alone`` is what loads the student without a checkout, None where nothing does.
    ``classifier`` is one on the embeddings, ``timm_classifier`` that of the folder ``timm/``, where they were asked for.
    ``onnx_sha256`` is that of ``model.onnx``, None without one. ``environment`` is the record's, and in its ``git`` the files
    of the case that the commit ``lacks``.
    """

    format: Literal[FORMAT] = FORMAT
    case: str
    student: str
    student_model: LibraryStudent | None = None
    student_licence: str | None = None
    trunk_width: int | None = None
    kind: Literal["classification", "captions", "images"]
    reads: Literal["pooled", "tokens", "pixels"]
    text_reads: Literal["pooled", "tokens"] | None
    dims: Dims
    side: int
    crop: bool
    logit_scale: float
    teacher: TeacherConfig
    explained_variance: dict[Literal["image", "text"], float]
    weights_sha256: str
    onnx_sha256: str | None = None
    alone: Literal["timm", "model.py"] | None = None
    classifier: ClassifierConfig | None = None
    timm_classifier: ClassifierConfig | None = None
    training: dict
    dataset: dict
    fingerprint: str
    environment: dict


class Exported(nn.Module):
    """A trained student with all that it takes to run it.

    The teacher is loaded at once for a head, and with the first captions for a student whose image side stands alone.
    ``checkpoint`` is where its weights lie, if not on the hub.
    """

    def __init__(self, config: Config, student: Student, reduction: dict[str, Pca], checkpoint: Path | None):
        super().__init__()
        self.config, self.student, self.reduction = config, student, nn.ModuleDict(reduction)
        self._checkpoint, self._teacher = checkpoint, None
        teacher = None if config.reads == "pixels" else self.teacher()
        self.deployed = Deployed(student, config.reads, teacher, reduction.get("image"))

    def teacher(self) -> nn.Module:
        """The teacher whose features the student reads. Raises :class:`UserError` where it is another one than then."""
        if self._teacher is None:
            self._teacher = _teacher(self.config, self._checkpoint).to(self._device)
        return self._teacher

    @torch.no_grad()
    def image(self, pixels: Tensor) -> Tensor:
        """Pixels ``[B, 3, H, W]``, uint8 or float in [0, 255], to unit-length embeddings ``[B, E]``.

        A head's teacher resizes pictures for itself, and so does a student of a library. Raises ``ValueError`` for pixels of
        another form, and where another student that reads them is given another side than it was trained on.
        """
        resizes = self.config.reads != "pixels" or self.config.student_model
        side = None if resizes else self.config.side
        if pixels.ndim != 4 or pixels.shape[1] != 3 or (side and pixels.shape[2:] != (side, side)):
            expected = f"[B, 3, {side}, {side}]" if side else "[B, 3, H, W]"
            raise ValueError(f"expected pixels {expected} in [0, 255], got {list(pixels.shape)}")
        return self.deployed(pixels.to(self._device))

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> Tensor:
        """Captions to unit-length embeddings ``[C, E]``. Raises ``ValueError`` for a student without a text tower."""
        if self.student.text_tower is None:
            raise ValueError(f"{self.config.case} was trained on images without captions: it has no text tower")
        features = self.teacher().text(list(captions))
        pooled = self.config.text_reads == "pooled"
        inputs = (features.pooled if pooled else features.tokens).float()
        if "text" in self.reduction:
            inputs = self.reduction["text"](inputs)
        return self.student.text(inputs, *([] if pooled else [features.lengths.to(inputs.device)]))

    @property
    def _device(self) -> torch.device:
        return next(self.student.parameters()).device


def load(folder: str | Path, checkpoint: str | Path | None = None) -> Exported:
    """The exported model in ``folder``, frozen, in eval mode, on the CPU.

    ``checkpoint`` is a local file or folder with the weights of a pretrained teacher, where the hub's are not used. Raises
    :class:`UserError` where the folder is damaged or of another version, or the teacher is another one than in training.
    """
    folder = Path(folder)
    config = _config(folder / CONFIG)
    tensors = _tensors(folder / WEIGHTS, config.weights_sha256)
    try:
        reduction = {
            side: Pca(tensors.pop(f"reduction.{side}.weight"), tensors.pop(f"reduction.{side}.bias"), explained)
            for side, explained in config.explained_variance.items()
        }
        student = build(config.student, config.dims, config.kind, model=config.student_model)
        student.load_state_dict({name.removeprefix("student."): tensor for name, tensor in tensors.items()})
    except (RuntimeError, KeyError) as error:
        raise UserError(
            f"{folder / WEIGHTS} does not fit the student '{config.student}' of this checkout ({error}); it was "
            f"trained at {commit(config.environment)}"
        ) from None
    return Exported(config, student, reduction, Path(checkpoint) if checkpoint else None).eval().requires_grad_(False)


def _config(path: Path) -> Config:
    """The configuration. Raises :class:`UserError` where it is not one that this checkout can read."""
    try:
        config = Config.model_validate(unseal(path.read_text(encoding="utf-8"), FORMAT))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a folder that `python -m bench export` wrote") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged or of another version ({error}); export the case again") from None
    entries = [("student", config.student, config.student_model)]
    if config.reads != "pixels" or config.text_reads:  # else it stands alone
        entries.append(("teacher", config.teacher.name, config.teacher.model))
    for kind, name, model in entries:
        if not model and name not in registry.names(kind):
            near, trained_at = nearest(name, registry.names(kind)), commit(config.environment)
            raise UserError(f"{path}: there is no {kind} '{name}' here, {near}; it was trained at {trained_at}")
    return config


def _tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors by name. Raises :class:`UserError` where the file is not the one that was exported."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); export the case again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path} is damaged: its sha256 is not the one in {CONFIG}; export the case again")
    return read_safetensors(content)


def teacher_facts(teacher: teachers.Teacher) -> dict:
    """What tells a teacher from another: the digest of its weights, its preprocessing and its tokenizer."""
    return {"sha256": weights_digest(teacher), "transform": teacher.transform, "tokenizer": teacher.tokenizer}


def _teacher(config: Config, checkpoint: Path | None) -> nn.Module:
    """The teacher that was used in training. Raises :class:`UserError` where the one that is here differs from it."""
    expected = config.teacher
    revision = None if checkpoint else expected.revision
    weights = teachers.Weights(expected.weights, expected.trained_on, checkpoint, revision)
    teacher = teachers.load(expected.name, weights, config.training["geometry"], expected.model)
    differences = [
        f"{fact} {value}, not {getattr(expected, fact)}"
        for fact, value in teacher_facts(teacher).items()
        if value != getattr(expected, fact)
    ]
    if differences:
        raise UserError(
            f"the teacher '{expected.name}' here is not the one that the student was trained with: "
            f"{'; '.join(differences)}. Its features would mean nothing to the student; expected {expected.provenance}"
        )
    return teacher
