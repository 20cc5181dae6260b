"""Nothing that was not written here is executed, and files are written whole: read from the suite's own source."""

import ast
from pathlib import Path

import pytest

from bench.kit.paths import ROOT

SOURCES = [
    path
    for pattern in ("conftest.py", "bench/**/*.py", "students/**/*.py", "teachers/**/*.py")
    for path in sorted(ROOT.glob(pattern))
]
RUN = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.startfile", "runpy.run_path"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PICKLE_ERRORS = {"pickle.UnpicklingError"}  # a name to catch; it loads nothing
READS = {"yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.FullLoader", "yaml.UnsafeLoader"}
WRITES = {"write_text", "write_bytes", "savefig", "save_file", "save", "copyfile", "copy", "copytree", "dump"}
# Where a file is written in place, and why that does no harm.
IN_PLACE = {
    "bench/results/compare/shown.py": "GitHub's summary, which is appended to",
    "bench/kit/files.py": "the temporary file itself",
    "bench/kit/lock.py": "for people only",
    "bench/store/__init__.py": "rows count once their digest is in the journal",
    "bench/kit/array_store/journal.py": "each line has its digest",
    "bench/prepare/unpack.py": "under a temporary name; the CRC-32 is checked",
    "bench/prepare/download.py": "under a temporary name, checked before it is renamed",
    "bench/explain/drawing.py": "into memory",
    "bench/kit/progress.py": "a terminal",
    "bench/measure/timing.py": "a switch of the kernel's",
    "bench/report/publishing.py": "a published copy, which git keeps",
    "teachers/pocket/train.py": "weights to be shipped, which git keeps",
}


def name_of(node: ast.AST) -> str:
    """A dotted name, empty where it is none."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(tree: ast.AST) -> list[str]:
    """What in a source could run something that came from outside."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            # The name of an error is all that may be used of it; that is seen below.
            found += [f"import {name}" for name in names if name.split(".")[0] in PICKLES - {"pickle"}]
        elif isinstance(node, ast.Attribute):
            name = name_of(node)
            if name in READS or (name.split(".")[0] == "pickle" and name not in PICKLE_ERRORS):
                found.append(name)
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            given = {word.arg: word.value for word in node.keywords}
            shell = given.get("shell")
            if name in RUN or (shell and not (isinstance(shell, ast.Constant) and shell.value is False)):
                found.append(f"{name}(...)")
            only = given.get("weights_only")
            if name == "torch.load" and not (isinstance(only, ast.Constant) and only.value is True):
                found.append("torch.load without weights_only=True")
            allowed = given.get("allow_pickle")
            if allowed and not (isinstance(allowed, ast.Constant) and allowed.value is False):
                found.append(f"{name}(allow_pickle)")
    return [f"{entry}" for entry in found]


def writes_in_place(tree: ast.AST) -> list[str]:
    """Calls that write a file, but for those inside a function that is handed to ``write_atomically``."""
    safe = {id(inner) for call in calls(tree) if name_of(call.func).endswith("write_atomically")
            for argument in call.args for inner in ast.walk(argument)}  # fmt: skip
    return [
        name for call in calls(tree)
        if id(call) not in safe and ((name := name_of(call.func)) and is_write(call, name))
    ]  # fmt: skip


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def is_write(call: ast.Call, name: str) -> bool:
    last = name.rpartition(".")[2]
    if last in ("open", "fdopen"):
        texts = [
            each.value for each in ast.walk(call) if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        return any(text and set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts)
    return (
        last in WRITES
        and "." in name
        and not name.startswith(("checkpoint.", "sealed_tensors.", "record.", "compare.", "copy."))
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_untrusted_is_executed(path):
    assert dangers(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_written_whole_or_not_at_all(path):
    name = path.relative_to(ROOT).as_posix()
    assert name in IN_PLACE or writes_in_place(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(f)", "import dill", "eval('1')", "exec(text)", "import os\nos.system('ls')",
        "import subprocess\nsubprocess.run('ls', shell=True)", "import yaml\nyaml.load(t, yaml.FullLoader)",
        "import torch\ntorch.load(p)", "import torch\ntorch.load(p, weights_only=False)",
        "import numpy as np\nnp.load(p, allow_pickle=True)",
    ],
)  # fmt: skip
def test_the_scan_sees_what_it_should(source):
    assert dangers(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    ["path.write_text('x')", "path.open('wb')", "open(path, 'r+')", "figure.savefig(path)", "torch.save(t, path)"],
)
def test_the_scan_sees_a_write_in_place(source):
    assert writes_in_place(ast.parse(source))


def test_what_is_written_under_a_temporary_name_is_no_write_in_place():
    assert not writes_in_place(ast.parse("write_atomically(path, lambda temporary: temporary.write_text('x'))"))
    assert not writes_in_place(ast.parse("path.open()\npath.open('rb')\nimport copy\ncopy.copy(x)"))


def test_exceptions_to_the_rule_are_files_that_are_there():
    assert all(Path(ROOT / name).exists() for name in IN_PLACE)
