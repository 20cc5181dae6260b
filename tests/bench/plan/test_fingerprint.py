"""Identity of source files: what is said to Python counts to the letter, what is said to people does not."""

import ast
import re

import pytest

from bench.kit.paths import ROOT
from bench.plan import fingerprint

CODE = '''"""What it is for."""

import os  # for its path

TEXT = "a # b"  # not a comment in it


def f(x: int) -> str:
    """What it does.

    At length.
    """
    "another statement that does nothing"
    # why
    return f"{x}" """ c
    """


class A:
    """What it is."""

    size = 1
    """of it"""
'''
SAME = '''
import os
TEXT = "a # b"

def f(x: int) -> str:
    r"""Other words."""   
    return f"{x}" """ c
    """
class A:
    size = 1  # in pixels
'''  # noqa: W291


@pytest.fixture
def digest(tmp_path):
    def of(text, name="code.py"):
        fingerprint.digest.cache_clear()
        (tmp_path / name).write_text(text)
        return fingerprint.digest(tmp_path / name)

    return of


def test_words_for_people_do_not_count(digest):
    assert digest(CODE) == digest(SAME) == digest(SAME.replace("\n\n", "\n"))
    assert ast.dump(ast.parse(fingerprint._code(CODE))) == ast.dump(ast.parse(fingerprint._code(SAME)))


@pytest.mark.parametrize(
    "change",
    [("size = 1", "size = 2"), ("a # b", "a # c"), ("x: int", "x: str"), (" c\n", " d\n"), ('f"{x}"', "f'{x}'"),
     ("    size", "        size"), ("import os", "import os, sys"), ('r"""Other words."""', 'f"{print(x)}"')],
)  # fmt: skip
def test_all_else_counts(digest, change):
    assert SAME.count(change[0]) == 1
    assert digest(SAME.replace(*change)) != digest(SAME)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('S = """a\n\nb"""', 'S = """a\nb"""'),
        ('S = """a \nb"""', 'S = """a\nb"""'),
        ('S = f"""a\n\n{1}"""', 'S = f"""a\n{1}"""'),
        ('S = "a\x0cb"\nx = 0.1\n#2345678', 'S = "a\x0cb"\nx = 0.2\n#2345678'),
        ('S = "a\u2028b"\nx = 0.1\n#2345678', 'S = "a\u2028b"\nx = 0.2\n#2345678'),
        ("x = 1 \\\n\n+ 1", "x = 1 \\\n+ 1"),
        ('rf"{print(1)}"', 'rf"{print(2)}"'),
        ("# coding: latin-1\nx = 1", "# coding: utf-8\nx = 1"),
        ('a = """one"""; b = 1', 'a = """one"""; b = 2'),
        ('"""one"""; b = 1', '"""one"""; b = 2'),
    ],
)
def test_where_layout_says_something_it_counts(digest, one, other):
    assert digest(one) != digest(other)


def test_a_string_of_several_lines_is_exact_and_a_docstring_beside_it_is_not(digest):
    texts = [f'def f():\n    """{told}\n\n    at length."""\n    return """a\n\n  b"""\n' for told in ("One", "Other")]
    assert digest(texts[0]) == digest(texts[1]) != digest(texts[0].replace("a\n\n", "a\n"))


def test_what_is_no_python_counts_byte_by_byte(digest):
    assert digest("a = (  # one") != digest("a = (  # two")
    assert digest("a: 1  # one", "a.yaml") != digest("a: 1  # two", "a.yaml")


DECIDING = [file for folder in fingerprint.FOLDERS for file in fingerprint.shared(folder)]


@pytest.mark.parametrize("file", DECIDING, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_left_of_each_deciding_file_is_its_code(file):
    """To Python the rest is the same program: equal syntax trees, but for docstrings."""

    def tree(text):
        parsed = ast.parse(text)
        for node in ast.walk(parsed):
            if isinstance(getattr(node, "body", None), list):
                node.body = [one for one in node.body if not (
                    isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
                )] or [ast.Pass()]  # fmt: skip
        return ast.dump(parsed)

    # A class that is a docstring alone would be left without a body.
    text = re.sub(r'(class \w+\(\w+\):\n    """[^"]*""")\n', r"\1\n    pass\n", file.read_text())
    left = fingerprint._code(text)
    assert '"""' not in left and tree(left) == tree(text)
