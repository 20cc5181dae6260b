"""YAML read into pydantic models, with errors that name file:line:column.

Left out on purpose: anchors, aliases, merge keys (``<<``) and tags. A few lines of aliases stand for more values than fit
into memory, a tag makes YAML read what is no such value, and neither has a place of its own that an error could name.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bench.kit.errors import LocatedError, nearest, shown

KEY = "[key]"  # ends the path of a fault that is in a mapping's key; pydantic's word

Fault = tuple[tuple, str]  # a path below the value that is checked, and a message
Model = TypeVar("Model", bound=BaseModel)


def refuse(faults: Iterable[Fault]) -> None:
    """Raise all ``faults`` from within a validator."""
    details = [
        InitErrorDetails(type=PydanticCustomError("refused", "{why}", {"why": why}), loc=path, input=None)
        for path, why in faults
    ]
    if details:
        raise ValidationError.from_exception_data("refused", details)


class Strict(BaseModel):
    """A model without other keys than its own, whose values fit together."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, content: object) -> object:
        keys, known = content if isinstance(content, dict) else (), cls.model_fields
        refuse(
            ((key, KEY), f"unknown key {shown(key)}, {nearest(str(key), known)}") for key in keys if key not in known
        )
        return content

    @model_validator(mode="after")
    def _fits(self) -> "Strict":
        refuse(self.faults())
        return self

    def faults(self) -> Iterable[Fault]:
        """What of the values does not fit together."""
        return ()


class LocatedYaml:
    """A YAML mapping: ``data`` as plain values, and the place of each of them."""

    def __init__(self, path: Path):
        try:
            self.folder = path.resolve().parent
            loader = _Loader(path.read_text(encoding="utf-8"), path.name)
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                raise LocatedError(f"{path.name}:1:1: expected a mapping at the top level")
            self.data, self.starts = loader.value(root), loader.starts
        except OSError as error:
            raise LocatedError(f"{path}: {error.strerror}") from None
        except LocatedError:
            raise
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or " ".join(str(error).split())
            raise LocatedError(f"{_place(mark) if mark else path.name}: not valid YAML: {problem}") from None

    def read(self, model: type[Model]) -> Model:
        """The file as a ``model``, whose validators get the file's ``folder`` in their context, which they may add to.

        Raises :class:`LocatedError` with a line for each fault.
        """
        try:
            return model.model_validate(self.data, context={"folder": self.folder})
        except ValidationError as error:
            raise LocatedError("\n".join(dict.fromkeys(map(self._line, _causes(error.errors()))))) from None

    def _line(self, fault: dict) -> str:
        """One of pydantic's faults as ``file:line:column: what, expected``."""
        kind, message, where = fault["type"], fault["msg"].removeprefix("Value error, "), fault["loc"]
        if isinstance(error := fault.get("ctx", {}).get("error"), LocatedError):
            return str(error)  # it is in another file
        if kind == "missing":
            *where, name = where
            message = f"missing key '{name}'"
        elif kind != "refused":
            if kind == "tuple_type":
                message = "expected a list"
            if kind == "literal_error":
                choices = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
                message += f"; {nearest(str(fault['input']), choices)}"
            path = ".".join(str(part) for part in where if part != KEY)
            message = f"{path}: {message}, got {shown(fault['input'])}"
        return f"{self.place(where)}: {message}"

    def place(self, where: Iterable) -> str:
        """``file:line:column`` of what a path of keys leads to, or of the deepest part of it that exists."""
        where = tuple(where)
        while where not in self.starts:
            where = where[:-1]
        return _place(self.starts[where])


def _causes(faults: list[dict]) -> list[dict]:
    """The faults without those that only follow: a list is too short where its items are at fault."""
    parents = {fault["loc"][:length] for fault in faults for length in range(len(fault["loc"]))}
    return [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in parents]


def _place(mark: yaml.Mark) -> str:
    return f"{mark.name}:{mark.line + 1}:{mark.column + 1}"


class _Loader(yaml.SafeLoader):
    """YAML's safe loader. Raises :class:`LocatedError` at what is left out, and at what is not what it looks like."""

    def __init__(self, text: str, name: str):
        super().__init__(text)
        self.name, self.starts = name, {}

    def compose_node(self, parent, index):
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            _fail(event, "anchors and aliases are not read: write the value out")
        if getattr(event, "tag", None) is not None:
            _fail(event, f"tags are not read: leave out {shown(event.tag.replace('tag:yaml.org,2002:', '!!'))}")
        return super().compose_node(parent, index)

    def value(self, node: yaml.Node, path: tuple = (), key: yaml.Node | None = None) -> object:
        """A node as plain values. ``starts`` keeps its place, which for a mapping is that of the ``key`` before it."""
        self.starts[path] = (key if key and isinstance(node, yaml.MappingNode) else node).start_mark
        self.starts[(*path, KEY)] = (key or node).start_mark
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]
        values: dict = {}
        for before, item in node.value:
            if not isinstance(before, yaml.ScalarNode):
                _fail(before, "expected a plain name as key")
            name = self.scalar(before)
            if name in values:
                first = self.starts[(*path, name, KEY)].line + 1
                _fail(before, f"duplicate key {shown(name)}, first given in line {first}")
            values[name] = self.value(item, (*path, name), before)
        return values

    def scalar(self, node: yaml.ScalarNode) -> object:
        try:
            return self.construct_object(node)
        except (ValueError, OverflowError):
            _fail(node, f"{shown(node.value)} is no valid number or date")


def _fail(part: yaml.Event | yaml.Node, message: str) -> NoReturn:
    raise LocatedError(f"{_place(part.start_mark)}: {message}")
