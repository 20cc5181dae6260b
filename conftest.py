"""pytest wiring: options, parametrisation, fixtures and the report at the end. No logic of its own."""

from pathlib import Path

import pytest

from bench import catalog, matrix
from bench.located import LocatedError
from bench.progress import Progress
from bench.terminal import finish

CASES = pytest.StashKey()
SESSION = pytest.StashKey()
PROGRESS = pytest.StashKey()


def pytest_addoption(parser):
    group = parser.getgroup("distill-bench")
    group.addoption("--profile", default="pocket", metavar="NAME", help="profile of matrix.yaml (default: pocket)")
    group.addoption("--matrix", type=Path, default=matrix.DEFAULT, metavar="FILE", help="another matrix.yaml")
    group.addoption(
        "--results", type=Path, metavar="DIR", help="where records and the report go (default: reports/runs/PROFILE)"
    )
    group.addoption(
        "--rerun",
        choices=["all", "missing", "none"],
        default="missing",
        help="all: start anew; missing: reuse what is done (default); none: run nothing, only report",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "benchmark: options of pytest-benchmark")
    config.stash[PROGRESS] = Progress.on_stderr()


def pytest_unconfigure(config):
    config.stash[PROGRESS].close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Read the matrix before anything is collected: a fault in it is a usage error."""
    config = session.config
    bench = Path(__file__).parent / "bench"
    asked = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    if any(path.is_relative_to(bench) or bench.is_relative_to(path) for path in asked):
        try:
            path = config.option.matrix
            config.stash[CASES] = matrix.cases(matrix.load(path), config.option.profile, path)
        except LocatedError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", metafunc.config.stash[CASES], ids=lambda case: case.id)


def results_folder(config) -> Path:
    return (config.option.results or catalog.ROOT / "reports" / "runs" / config.option.profile).resolve()


@pytest.fixture(scope="session")
def session(request):
    """What all cases share; built when the first case runs, so that collection imports no torch."""
    from bench.session import Session

    config = request.config
    progress = config.stash[PROGRESS]
    progress.total = sum("case" in getattr(item, "fixturenames", ()) for item in request.session.items)
    config.stash[SESSION] = Session(results_folder(config), config.stash[CASES], config.option.rerun, progress)
    return config.stash[SESSION]


@pytest.fixture
def rounds(request, case, session):
    """``rounds(function, count)``: as pytest-benchmark's rounds where it is enabled, and in any case ``count`` calls."""
    plugin = request.config.pluginmanager.hasplugin("benchmark")
    benchmark = request.getfixturevalue("benchmark") if plugin else None
    with session.progress.task(case.id) as advance:

        def run(function, count):
            calls = 0

            def call():
                nonlocal calls
                if calls < count:
                    function()
                    calls += 1
                    advance(calls, count)

            if benchmark is not None:
                benchmark.pedantic(call, rounds=count)
            while calls < count:
                call()

        yield run
    session.progress.case_ended()


@pytest.fixture
def reuse(request, session):
    """``reuse(case, rounds)``: whether a finished record stands for the case; its epochs then count as rounds."""
    from bench import clock

    def reusable(case, rounds):
        record = session.reusable(case)
        if record is None and session.rerun == "none":
            pytest.skip("not run: --rerun none")
        if record is None:
            return False
        epochs = iter(record.curve[1:])
        rounds(lambda: clock.advance(next(epochs)["epoch_seconds"]), case.epochs)
        request.node.user_properties.append(("reused", True))
        return True

    return reusable


def pytest_report_teststatus(report):
    if report.when == "call" and report.passed and ("reused", True) in report.user_properties:
        return "passed", "r", "REUSED"
    return None


def pytest_terminal_summary(terminalreporter, config):
    if CASES in config.stash and not config.option.collectonly and not hasattr(config, "workerinput"):
        finish(terminalreporter, results_folder(config), config.stash[CASES], config.option.profile)
