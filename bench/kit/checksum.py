"""JSON that carries the sha256 of its own content, so that a digit that flipped on a disk is noticed.

The checksum is of what the JSON says, not of how it is laid out: line ends and indentation may change.
"""

import hashlib
import json

KEY = "sha256"


def seal(content: dict, indent: int | None = 1) -> str:
    """The text of a JSON object, with the checksum of the rest of it as its last entry; without ``indent`` one line."""
    plain = json.loads(json.dumps(content))
    return json.dumps(plain | {KEY: _checksum(plain)}, indent=indent) + "\n"


def unseal(text: str, form: int | None = None) -> dict:
    """The object that was sealed. Raises ``ValueError`` where the text is no JSON object or not what was sealed.

    Where a ``form`` is given, the object must have it as its ``format``: an older file is called that, not damaged.
    """
    content = json.loads(text)
    if form is not None and isinstance(content, dict) and content.get("format") != form:
        raise ValueError(f"its format is {str(content.get('format'))[:20]}, and this version reads {form}")
    if not isinstance(content, dict) or KEY not in content:
        raise ValueError(f"expected an object with its {KEY}")
    if not is_whole(content):
        raise ValueError(f"its content is not what its {KEY} says: damaged, or edited by hand")
    return {name: part for name, part in content.items() if name != KEY}


def is_whole(content: dict) -> bool:
    """Whether an object that was read with its checksum says what it said when it was sealed."""
    return content.get(KEY) == _checksum({name: part for name, part in content.items() if name != KEY})


def _checksum(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
