"""What a matrix declares for itself: a model of a library as teacher or student, a folder of images as dataset.

These are plain facts, without torch: ``teachers.libraries``, ``students.libraries`` and ``bench.data.own`` build what they
describe. Where something lies on this machine (a checkpoint, a folder) decides nothing and is no part of a case's
configuration; what is in it does.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

LIBRARIES = ("timm", "open_clip", "transformers")
POOLS = ("own", "token", "avg")


@dataclass(frozen=True)
class LibraryModel:
    """A vision model of a library as a teacher.

    ``library`` is one of ``LIBRARIES``, ``name`` the library's own name of the model, ``tag`` open_clip's of its weights.
    ``size`` is the input side in pixels and ``crop`` the share of the resized picture that is cut out, None: the model's
    own; ``pool`` (one of ``POOLS``) what its feature is.
    """

    library: str
    name: str
    tag: str | None = None
    size: int | None = None
    pool: str = "own"
    crop: float | None = None

    @property
    def reads_text(self) -> bool:
        """Whether it embeds captions, too."""
        return self.library == "open_clip"


@dataclass(frozen=True)
class OneTeacher:
    """One of several teachers of a student: its name, and of a pretrained one a local checkpoint or the hub's revision, and
    the library's model that it is, if it is one."""

    name: str
    checkpoint: str | None = None
    revision: str | None = None
    model: LibraryModel | None = None


@dataclass(frozen=True)
class LibraryStudent:
    """A model of timm as a student that replaces the teacher; ``size`` is its input side, None: that of the dataset's pixels."""

    name: str
    size: int | None = None
    pretrained: bool = False

    def at(self, side: int) -> "LibraryStudent":
        """The same with its input side stated, on pixels of ``side``."""
        return replace(self, size=self.size or side)


@dataclass(frozen=True)
class Images:
    """A folder of images as a dataset.

    ``path`` is the folder, ``captions`` a file that gives each image its captions. ``test`` is the share of images that is
    held out where the folder itself says nothing; ``size`` the side of the square pixels that students read; ``labels``
    ("folders" or "none") whether its folders are classes, where that is not clear.
    """

    path: str
    captions: str | None = None
    test: float = 0.2
    size: int = 224
    labels: str | None = None

    def facts(self) -> dict[str, Any]:
        """What of it is the same on every machine."""
        return {name: value for name, value in asdict(self).items() if name not in ("path", "captions")}
