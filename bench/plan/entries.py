"""What the sections ``teachers:``, ``students:`` and ``datasets:`` of matrix.yaml may say, as pydantic models."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from bench.declared import LIBRARIES, POOLS, Images, LibraryModel, LibraryStudent
from bench.kit.located_yaml import Fault, Strict


def number(value: object) -> object:
    """``value``, which pydantic would otherwise take for a number also where it is true or false."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


EntryName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]  # a part of ids, which are split at dashes
Text = Annotated[str, Field(min_length=1)]
Width = Annotated[int, Field(strict=True, gt=0, le=2**16)]


def _whole(path: str | None, given: ValidationInfo) -> str | None:
    """Whole, so that what is loaded is also what the fingerprint is taken of: from the matrix's folder, or the home."""
    try:
        return path and str(given.context["folder"] / Path(path).expanduser())
    except RuntimeError:
        raise ValueError("there is no such user's home folder") from None


OwnPath = Annotated[Text, AfterValidator(_whole)]


class TeacherEntry(Strict):
    """Where a pretrained teacher comes from, if not from where it is published; one that has no file is a library's model."""

    path: OwnPath | None = None
    revision: Text | None = None
    timm: Text | None = None
    open_clip: Text | None = None
    transformers: Text | None = None
    pretrained: Text | None = None
    size: Width | None = None
    pool: Literal[POOLS] = "own"
    crop: Annotated[float, Field(gt=0, le=1), BeforeValidator(number)] | None = None

    @property
    def libraries(self) -> tuple[str, ...]:
        """Those that it names a model of."""
        return tuple(name for name in LIBRARIES if getattr(self, name))

    @property
    def model(self) -> LibraryModel | None:
        """The library's model, None for a teacher that has a file."""
        if not self.libraries:
            return None
        [library] = self.libraries
        return LibraryModel(library, getattr(self, library), self.pretrained, self.size, self.pool, self.crop)

    def faults(self) -> Iterator[Fault]:
        if self.path and self.revision:
            yield (), "expected a path or a revision, not both"
        if len(self.libraries) > 1:
            yield (), f"expected a model of one library, not of {' and '.join(self.libraries)}"
        if self.pretrained and not self.open_clip:
            yield (
                ("pretrained",),
                "pretrained names weights of open_clip; timm has them in the model's name, after a dot",
            )


class StudentEntry(Strict):
    """A model of timm as a student, at ``size`` pixels."""

    timm: Text
    size: Width | None = None
    pretrained: bool = False

    @property
    def model(self) -> LibraryStudent:
        return LibraryStudent(self.timm, self.size, self.pretrained)


class DatasetEntry(Strict):
    """A folder of images; see :class:`bench.declared.Images`."""

    images: OwnPath
    captions: OwnPath | None = None
    test: Annotated[float, Field(gt=0, lt=1), BeforeValidator(number)] = Images.test
    size: Width = Images.size
    labels: Literal["folders", "none"] | None = None

    @property
    def declared(self) -> Images:
        return Images(self.images, self.captions, self.test, self.size, self.labels)
