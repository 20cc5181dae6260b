"""YAML that remembers where things stand, so that an error can name file:line:column.

Left out on purpose: anchors, aliases, merge keys (``<<``) and tags, also the one that YAML gives a plain ``=``. A few lines of aliases stand for more values than fit into memory, a tag
makes YAML read what is no such value, and neither has a place of its own that an error could name.
"""

from pathlib import Path

import yaml

from bench.kit.errors import LocatedError, shown

LARGEST = 2**63  # of whole numbers, either sign
DEEPEST = 50  # lists and mappings in each other
LONGEST_KEY = 200  # characters
STANDARD = "tag:yaml.org,2002:"  # what !! stands for
NO_ALIASES = "anchors and aliases are not read: write the value out"
NO_TAGS = "tags are not read: leave out {}"


class LocatedYaml:
    """A YAML mapping read by safe load: ``data``, and the place of each part of it."""

    def __init__(self, path: Path):
        self.name = path.name
        try:
            text = path.read_text(encoding="utf-8")
            self._refuse_shorthand(text)
            loader = yaml.SafeLoader(text)
            self.root = loader.get_single_node()
            if not isinstance(self.root, yaml.MappingNode):
                raise LocatedError(f"{self.name}:1:1: expected a mapping at the top level")
            self._check(self.root, loader)
            self.data = loader.construct_document(self.root)
        except OSError as error:
            raise LocatedError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise LocatedError(f"{self.name}: not UTF-8 text: {error}") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            problem = getattr(error, "problem", None) or " ".join(str(error).split())
            raise LocatedError(f"{self.name}{where}: not valid YAML: {problem}") from None
        except ValueError as error:
            if isinstance(error, LocatedError):
                raise
            raise LocatedError(f"{self.name}: not valid YAML: {error}") from None

    def at(self, mark: yaml.Mark) -> str:
        """``file:line:column`` of a mark."""
        return f"{self.name}:{mark.line + 1}:{mark.column + 1}"

    def place(self, path: tuple) -> str:
        """``file:line:column`` of the value at a path of keys and positions, or of its deepest part that exists.

        For a mapping, and for a key that is itself the fault, it is the key's place.
        """
        node, mark = self.root, self.root.start_mark
        for part in path:
            if isinstance(node, yaml.MappingNode):
                found = [pair for pair in node.value if pair[0].value == str(part)]
                if not found:
                    break
                key, node = found[0]
                mark = (key if isinstance(node, yaml.MappingNode) else node).start_mark
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
            else:
                break
        return self.at(mark)

    def place_of_key(self, path: tuple) -> str:
        """``file:line:column`` of the key that ends a path."""
        node = self.root
        for part in path[:-1]:
            if isinstance(node, yaml.MappingNode):
                node = next((value for key, value in node.value if key.value == str(part)), node)
        keys = (
            [key for key, _ in node.value if key.value == str(path[-1])] if isinstance(node, yaml.MappingNode) else []
        )
        return self.at(keys[0].start_mark) if keys else self.place(path)

    def _refuse_shorthand(self, text: str) -> None:
        """Raise :class:`LocatedError` at the first anchor, alias or tag, and where parts lie too deep in each other."""
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise LocatedError(f"{self.at(event.start_mark)}: nested too deeply")
            if getattr(event, "anchor", None) is not None:
                raise LocatedError(f"{self.at(event.start_mark)}: {NO_ALIASES}")
            if getattr(event, "tag", None) is not None:
                tag = shown(event.tag.replace(STANDARD, "!!"))
                raise LocatedError(f"{self.at(event.start_mark)}: {NO_TAGS.format(tag)}")

    def _check(self, node: yaml.Node, loader: yaml.SafeLoader) -> None:
        """Raise :class:`LocatedError` where a key is no plain name or stands twice, or a value is not what it looks like."""
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, yaml.Mark] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise LocatedError(f"{self.at(key.start_mark)}: expected a plain name as key")
                if len(key.value) > LONGEST_KEY:
                    raise LocatedError(f"{self.at(key.start_mark)}: this key is longer than {LONGEST_KEY} characters")
                if key.value in seen:
                    first = seen[key.value].line + 1
                    raise LocatedError(
                        f"{self.at(key.start_mark)}: duplicate key {shown(key.value)}, first given in line {first}"
                    )
                seen[key.value] = key.start_mark
                self._check(key, loader)
                self._check(value, loader)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self._check(value, loader)
        else:
            self._check_scalar(node, loader)

    def _check_scalar(self, node: yaml.ScalarNode, loader: yaml.SafeLoader) -> None:
        # YAML gives a plain << and a plain = tags of their own, which its reader resolves without an event.
        if node.tag == f"{STANDARD}merge":
            raise LocatedError(f"{self.at(node.start_mark)}: {NO_ALIASES}")
        if node.tag == f"{STANDARD}value":
            raise LocatedError(f"{self.at(node.start_mark)}: {NO_TAGS.format(shown(node.value))}")
        try:
            value = loader.construct_object(node)
        except (ValueError, OverflowError):
            raise LocatedError(f"{self.at(node.start_mark)}: {shown(node.value)} is no valid number or date") from None
        if isinstance(value, int) and abs(value) > LARGEST:
            raise LocatedError(f"{self.at(node.start_mark)}: {shown(node.value)} is too large a number")
