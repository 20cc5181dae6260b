"""Results in which the cases ran once for this folder, their exports, and a check that one is refused."""

import shutil

import pytest

from bench import export
from bench.kit.errors import UserError
from bench.plan import matrix
from tests.bench.export.three import HEAD, MATRIX, PIXELS, PRECISION, TIMM, TOKENS


@pytest.fixture(scope="package")
def matrix_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("matrix") / "matrix.yaml"
    path.write_text(MATRIX)
    return path


@pytest.fixture(scope="package")
def cases(matrix_file):
    return matrix.cases(matrix.load(matrix_file), "tiny", matrix_file)


@pytest.fixture(scope="package")
def results(run_bench, matrix_file, tmp_path_factory):
    """A results folder in which the cases ran, one of them with its trained control."""
    folder = tmp_path_factory.mktemp("results")
    chosen = f"{HEAD} or ({TOKENS} or {PIXELS} or {TIMM}) and not distillation"
    ran = run_bench(folder, "-k", chosen, "--precision", PRECISION, matrix=matrix_file)
    assert ran.status == 0, ran.output
    return folder


@pytest.fixture(scope="package")
def exports(cases, results, tmp_path_factory):
    """``exports[name]``: the folder of an exported case."""
    parent = tmp_path_factory.mktemp("exports")
    folders = {name: parent / name for name in (HEAD, TOKENS, PIXELS, TIMM, f"{HEAD}-no-distillation")}
    for name, folder in folders.items():
        export.export(export.named(cases, name), results, folder, classify=name == TIMM)
    return folders


@pytest.fixture
def refused(cases, tmp_path):
    """``refused(results, message, name)``: the export is refused so, and leaves nothing behind."""

    def check(results, message, name=HEAD):
        parent = tmp_path / "refused"
        parent.mkdir(exist_ok=True)
        with pytest.raises(UserError, match=message):
            export.export(export.named(cases, name), results, parent / "to")
        assert [*parent.iterdir()] == []

    return check


@pytest.fixture
def copied(results, tmp_path):
    """A copy of the results to be damaged."""
    return shutil.copytree(results, tmp_path / "results")
