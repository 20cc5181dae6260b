"""YAML read into pydantic models, with errors that name file:line:column.

Left out on purpose: anchors, aliases, merge keys (``<<``) and tags, also the one that YAML gives a plain ``=``. A few
lines of aliases stand for more values than fit into memory, a tag makes YAML read what is no such value, and neither has
a place of its own that an error could name.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import UnionType
from typing import NoReturn, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from bench.kit.errors import LocatedError, nearest, shown

LARGEST = 2**63  # of whole numbers, either sign
DEEPEST = 50  # lists and mappings in each other
LONGEST_KEY = 200  # characters
STANDARD = "tag:yaml.org,2002:"  # what !! stands for
NO_ALIASES = "anchors and aliases are not read: write the value out"
NO_TAGS = "tags are not read: leave out {}"
KEY = "[key]"  # ends the path of a fault that is in a mapping's key; pydantic's word

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A model without other keys than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def refuse(faults: Iterable[tuple[tuple, str]]) -> None:
    """Raise all ``faults`` from within a validator; each is a path below the validated value, and a message."""
    details = [
        InitErrorDetails(type=PydanticCustomError("refused", "{why}", {"why": why}), loc=path, input=None)
        for path, why in faults
    ]
    if details:
        raise ValidationError.from_exception_data("refused", details)


class LocatedYaml:
    """A YAML mapping: ``data`` as plain values, and the place of each of them."""

    def __init__(self, path: Path):
        try:
            loader = _Loader(path.read_text(encoding="utf-8"), path.name)
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                raise LocatedError(f"{path.name}:1:1: expected a mapping at the top level")
            self.data, self.starts = loader.value(root), loader.starts
        except OSError as error:
            raise LocatedError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise LocatedError(f"{path.name}: not UTF-8 text: {error}") from None
        except LocatedError:
            raise
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or " ".join(str(error).split())
            raise LocatedError(f"{_place(mark) if mark else path.name}: not valid YAML: {problem}") from None

    def read(self, model: type[Model], name: Callable[[tuple], str] = lambda path: "") -> Model:
        """The file as a ``model``. Raises :class:`LocatedError` with a line for each fault, which ``name`` may begin."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            lines = (self._line(fault, model, name(fault["loc"])) for fault in _causes(error.errors()))
            raise LocatedError("\n".join(dict.fromkeys(lines))) from None

    def place(self, path: tuple) -> str:
        """``file:line:column`` of what is at a path of keys and positions, or of its deepest part that exists.

        That is the value; of a mapping, and where the path ends with ``KEY``, the key before it.
        """
        while path not in self.starts:
            path = path[:-1]
        return _place(self.starts[path])

    def _line(self, fault: dict, model: type[BaseModel], prefix: str) -> str:
        """One of pydantic's faults as ``file:line:column: what, expected``."""
        kind, message, where = fault["type"], fault["msg"].removeprefix("Value error, "), fault["loc"]
        if isinstance(error := fault.get("ctx", {}).get("error"), LocatedError):
            return str(error)  # it is in another file
        if kind == "missing":
            *where, name = where
            message = f"missing key '{name}'"
        elif kind == "extra_forbidden":
            message = f"unknown key '{where[-1]}', {nearest(str(where[-1]), _keys(model, fault['loc'][:-1]))}"
            where = (*where, KEY)
        elif kind != "refused":
            if kind == "tuple_type":
                message = "expected a list"
            if kind == "literal_error":
                choices = fault["ctx"]["expected"].replace(" or ", ", ").split(", ")
                message += f"; {nearest(str(fault['input']), (choice.strip(chr(39)) for choice in choices))}"
            path = ".".join(str(part) for part in where if part != KEY)
            message = f"{path}: {message}, got {shown(fault['input'])}"
        return f"{self.place(tuple(where))}: {prefix}{message}"


def _causes(faults: list[dict]) -> list[dict]:
    """The faults without those that only follow: a list is too short where its items are at fault."""
    parents = {fault["loc"][:length] for fault in faults for length in range(len(fault["loc"]))}
    return [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in parents]


def _keys(model: type[BaseModel], path: tuple) -> Iterable[str]:
    """The keys that the mapping at a path may have."""
    kind = model
    for part in path:
        inner = [argument for argument in get_args(kind) if argument is not ...]
        kind = inner[-1] if inner else kind.model_fields[part].annotation
        if isinstance(kind, UnionType):
            kind = get_args(kind)[0]
    return kind.model_fields


def _place(mark: yaml.Mark) -> str:
    return f"{mark.name}:{mark.line + 1}:{mark.column + 1}"


class _Loader(yaml.SafeLoader):
    """YAML's safe loader. Raises :class:`LocatedError` at what is left out, and at what is not what it looks like."""

    def __init__(self, text: str, name: str):
        super().__init__(text)
        self.name, self.depth, self.starts = name, 0, {}

    def compose_node(self, parent, index):
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            _fail(event, NO_ALIASES)
        if getattr(event, "tag", None) is not None:
            _fail(event, NO_TAGS.format(shown(event.tag.replace(STANDARD, "!!"))))
        if self.depth > DEEPEST:
            _fail(event, "nested too deeply")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

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
            if len(before.value) > LONGEST_KEY:
                _fail(before, f"this key is longer than {LONGEST_KEY} characters")
            if name in values:
                first = self.starts[(*path, name, KEY)].line + 1
                _fail(before, f"duplicate key {shown(name)}, first given in line {first}")
            values[name] = self.value(item, (*path, name), before)
        return values

    def scalar(self, node: yaml.ScalarNode) -> object:
        # YAML gives a plain << and a plain = tags of their own, which its reader resolves without an event.
        if node.tag == f"{STANDARD}merge":
            _fail(node, NO_ALIASES)
        if node.tag == f"{STANDARD}value":
            _fail(node, NO_TAGS.format(shown(node.value)))
        try:
            value = self.construct_object(node)
        except (ValueError, OverflowError):
            _fail(node, f"{shown(node.value)} is no valid number or date")
        if isinstance(value, int) and abs(value) > LARGEST:
            _fail(node, f"{shown(node.value)} is too large a number")
        return value


def _fail(part: yaml.Event | yaml.Node, message: str) -> NoReturn:
    raise LocatedError(f"{_place(part.start_mark)}: {message}")
