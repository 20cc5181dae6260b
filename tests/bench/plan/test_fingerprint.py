"""Identity of source files: what is said to Python counts to the letter, what is said to people does not."""

import io
import shutil
import tokenize
from dataclasses import replace

import pytest

from bench import registry
from bench.declared import LibraryStudent
from bench.kit.paths import ROOT
from bench.plan import fingerprint, matrix
from tests.breadth import first_of_each_folder, some

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
    assert digest(CODE) == digest(SAME) == digest(SAME.replace("\n\n", "\n")) == digest(SAME.replace("1", "(1)"))


@pytest.mark.parametrize(
    "change",
    [("size = 1", "size = 2"), ("a # b", "a # c"), ("x: int", "x: str"), (" c\n", " d\n"), ('f"{x}"', 'f"{x!r}"'),
     ("import os", "import os, sys"), ('r"""Other words."""', 'f"{print(x)}"')],
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
        ("# coding: latin-1\nx = 'é'", "# coding: utf-8\nx = 'é'"),
        ("x = None", "x = ()"),
        ("return", "return None"),
        ("f(a)", "f(*a)"),
        ("{**a}", "{a: a}"),
        ('a = """one"""; b = 1', 'a = """one"""; b = 2'),
        ('"""one"""; b = 1', '"""one"""; b = 2'),
    ],
)
def test_where_layout_says_something_it_counts(digest, one, other):
    assert digest(one) != digest(other)


def test_what_is_no_python_counts_byte_by_byte(digest):
    assert digest("a = (  # one") != digest("a = (  # two")
    assert digest("a: 1  # one", "a.yaml") != digest("a: 1  # two", "a.yaml")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the checkout's code, from which cases take their fingerprints."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("bench", "students", "teachers"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "ROOT", root)
        for kind, folder in registry.FOLDERS.items():
            patch.setitem(registry.FOLDERS, kind, root / folder.relative_to(ROOT))
        digest, imported = fingerprint.digest.__wrapped__, fingerprint._imported.__wrapped__
        read = {}  # of each file that has not changed, its digest and its imports

        def of(file):
            if file not in read:
                read[file] = digest(file), imported(file)
            return read[file]

        patch.setattr(fingerprint, "digest", lambda file: of(file)[0])
        patch.setattr(fingerprint, "_imported", lambda file: of(file)[1])
        forget()
        yield root, read
    forget()


def forget():
    for function in (fingerprint.sources, fingerprint.shared, fingerprint._entries):
        function.cache_clear()


@pytest.fixture(scope="module")
def cases():
    """Few cases that name each shipped entry at least once, and one with a student of timm."""
    every = [case for name in ("pocket", "losses", "sample") for case in matrix.cases(matrix.load(), name)]
    chosen, named = [], set()
    for case in every:
        if new := {(kind, getattr(case, kind)) for kind in registry.FOLDERS} - named:
            chosen.append(case)
            named |= new
    return [*chosen, replace(every[0], student="mine", student_model=LibraryStudent("resnet10t", 32))]


@pytest.fixture(scope="module")
def changed(copy, cases):
    """``changed(name, edit)``: the cases whose fingerprint is another one once ``edit(text)`` stands in the file."""
    root, read = copy

    def prints():
        forget()
        return [case.fingerprint for case in cases]

    before = prints()

    def of(name, edit):
        file = root / name
        text = file.read_text()
        assert edit(text) != text, name
        try:
            file.write_text(edit(text))
            read.pop(file, None)
            pairs = zip(cases, before, prints(), strict=True)
            return [case for case, old, new in pairs if old != new]
        finally:
            file.write_text(text)
            read.pop(file, None)

    return of


def with_another_constant(text):
    """The first number of the code is another one; a file without any gets a constant."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NUMBER:
            lines, (row, column) = text.splitlines(keepends=True), token.start
            line = lines[row - 1]
            lines[row - 1] = f"{line[:column]}1{line[column:]}"
            return "".join(lines)
    return text + "CHANGED = 1\n"


def paths_in(*folders):
    return sorted(str(file.relative_to(ROOT)) for folder in folders for file in (ROOT / folder).rglob("*.py"))


ENTRIES = {
    str(file.relative_to(ROOT)): (kind, file.stem.replace("_", "-"))
    for kind in registry.FOLDERS
    for file in registry.entries(kind)
}
LIBRARIES = {
    str(file.relative_to(ROOT)): field
    for kind, field in (("teacher", "teacher_model"), ("student", "student_model"), ("dataset", "images"))
    for file in registry.libraries(kind)
}
# Losses that are made of others, as their files' imports say.
MADE_OF = {
    "logit-matching": {
        "attention-transfer",
        "combined",
        "dkd",
        "kd-sum",
        "logit-standardisation",
        "queue-matching",
        "soft-targets",
    },
    "contrastive": {"combined", "kd-sum"},
    "cross-entropy": {"dkd", "logit-standardisation", "soft-targets"},
    "icl": {"kd-sum"},
    "feature-mse": {"feature-cosine", "patch-matching"},
}


COUNTED = [name for name in paths_in(*fingerprint.FOLDERS) if not name.startswith("teachers/pocket/")]
# Those that entries of several kinds share, and those that only some cases name.
SAMPLE = {*first_of_each_folder(COUNTED), *first_of_each_folder([*ENTRIES]), *LIBRARIES}


@pytest.mark.parametrize("name", some(COUNTED, SAMPLE))
def test_a_changed_constant_changes_the_fingerprints_of_the_cases_that_depend_on_it(name, changed, cases):
    """All of them for a file that cases share, those that name it for an entry."""
    kind, entry = ENTRIES.get(name, (None, None))
    users = {entry} | (MADE_OF.get(entry, set()) if kind == "loss" else set())
    expected = [case for case in cases if kind is None or getattr(case, kind) in users]
    if name in LIBRARIES:
        expected = [case for case in cases if getattr(case, LIBRARIES[name])]
    assert changed(name, with_another_constant) == expected


def test_each_shipped_entry_is_named_by_a_case(cases):
    named = {(kind, getattr(case, kind)) for case in cases for kind in registry.FOLDERS}
    assert set(ENTRIES.values()) - named == {("teacher", "efficientnet")}


SHOWING = [*paths_in("bench/run", "bench/report", "bench/results", "teachers/pocket"), "bench/kit/progress.py"]


@pytest.mark.parametrize("name", some(SHOWING, first_of_each_folder(SHOWING)))
def test_what_only_assembles_and_shows_changes_no_fingerprint(name, changed):
    assert changed(name, with_another_constant) == []


def test_a_student_made_of_another_one_depends_on_it(copy, changed, monkeypatch):
    root, _ = copy
    mine = root / "students" / "mine.py"
    mine.write_text("from students.cbam import LOSS, READS, TEXT_READS, image_tower, text_tower\n")
    try:
        assert root / "students" / "cbam.py" in fingerprint._with_imported([mine])
    finally:
        mine.unlink()
