"""YAML that remembers where things stand, so that an error can name file:line:column."""

from pathlib import Path

import yaml


class UserError(ValueError):
    """What was asked for cannot be done; the message says what, where and what to do, and needs no traceback."""


class LocatedError(UserError):
    """The file cannot be used; the message begins with ``file:line:column``."""


class LocatedYaml:
    """A YAML mapping read by safe load: ``data``, and the place of each part of it."""

    def __init__(self, path: Path):
        self.name = path.name
        try:
            text = path.read_text(encoding="utf-8")
            self.root = yaml.compose(text, Loader=yaml.SafeLoader)
            if not isinstance(self.root, yaml.MappingNode):
                raise LocatedError(f"{self.name}:1:1: expected a mapping at the top level")
            self._refuse_duplicates(self.root, frozenset())
            self.data = yaml.safe_load(text)
        except OSError as error:
            raise LocatedError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise LocatedError(f"{self.name}: not UTF-8 text: {error}") from None
        except RecursionError:
            raise LocatedError(f"{self.name}: nested too deeply") from None
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

    def _refuse_duplicates(self, node: yaml.Node, above: frozenset[int]) -> None:
        if id(node) in above:
            raise LocatedError(f"{self.at(node.start_mark)}: refers to itself")
        above |= {id(node)}
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, yaml.Mark] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise LocatedError(f"{self.at(key.start_mark)}: expected a plain name as key")
                if key.value in seen:
                    first = seen[key.value].line + 1
                    raise LocatedError(
                        f"{self.at(key.start_mark)}: duplicate key '{key.value}', first given in line {first}"
                    )
                seen[key.value] = key.start_mark
                self._refuse_duplicates(value, above)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self._refuse_duplicates(value, above)
