"""pytest wiring: options, parametrisation, fixtures and the report at the end. No logic of its own."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest

from bench.data import prepared
from bench.kit import paths, stopping
from bench.kit.errors import UserError
from bench.kit.files import WriteError, sweep
from bench.kit.progress import Progress
from bench.options import add_options
from bench.plan import matrix
from bench.results import compare, record
from bench.run.summary import Ending
from bench.training import clock

MATRIX = pytest.StashKey()
CASES = pytest.StashKey()
SELECTED = pytest.StashKey()
ENDING = pytest.StashKey()
PROGRESS = pytest.StashKey()
FAULT = pytest.StashKey()


def pytest_addoption(parser):
    add_options("pytest", parser.getgroup("distill-bench").addoption)


def pytest_configure(config):
    try:
        paths.use(config.option.data)
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    config.addinivalue_line("markers", "benchmark: options of pytest-benchmark")
    # Several workers of xdist would draw over each other.
    config.stash[PROGRESS] = Progress(None) if hasattr(config, "workerinput") else Progress.on_stderr()


def pytest_unconfigure(config):
    if PROGRESS in config.stash:
        config.stash[PROGRESS].close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Read the matrix before anything is collected: a fault in it is a usage error."""
    config = session.config
    bench = Path(__file__).parent / "bench"
    asked = [Path(argument.split("::")[0]).resolve() for argument in config.args]
    if not any(path.is_relative_to(bench) or bench.is_relative_to(path) for path in asked):
        # A gate must not pass because nothing was held against its baseline.
        if config.option.baseline or config.option.save_baseline:
            raise pytest.UsageError(
                "--baseline and --save-baseline are for the benchmark: pytest bench --baseline FILE"
            )
    else:
        try:
            path = config.option.matrix
            config.stash[MATRIX] = matrix.load(path)
            seeds, controls = matrix.chosen(config.option.seeds, config.option.controls)
            found = matrix.cases(config.stash[MATRIX], config.option.profile, path, seeds, controls)
            config.stash[CASES] = tuple(replace(case, precision=config.option.precision) for case in found)
            results_folder(config)
            if config.option.baseline:
                compare.read(config.option.baseline)
        except (UserError, compare.BaselineError) as error:
            raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames and CASES in metafunc.config.stash:
        metafunc.parametrize("case", metafunc.config.stash[CASES], ids=lambda case: case.id)


def pytest_collection_finish(session):
    config = session.config
    remember(config, (item.nodeid for item in session.items))
    if CASES in config.stash and not config.option.collectonly:
        for folder in (results_folder(config), paths.features_folder()):
            sweep(folder)
        chosen = {case.dataset for case in config.stash[CASES] if case.id in config.stash[SELECTED]}
        try:
            for dataset in filter(prepared.is_prepared_kind, sorted(chosen)):
                prepared.manifest(dataset)
            check_device(config.option)
        except UserError as error:
            raise pytest.UsageError(str(error)) from None


def check_device(option):
    """Whether a device or precision that was asked for is there; the defaults always are, and need no torch."""
    if (option.device, option.precision) != ("auto", "auto"):
        from bench.kit.device import find

        # Only looked for: with -n this process is the workers' controller, and needs no context on any GPU.
        find(option.device, option.precision)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    remember(node.config, ids)


def remember(config, nodeids):
    """Keep the ids of the selected cases, whichever process collected them."""
    if CASES in config.stash:
        known = {case.id for case in config.stash[CASES]}
        config.stash[SELECTED] = [name for nodeid in nodeids if (name := nodeid.partition("[")[2][:-1]) in known]
        config.stash[PROGRESS].total = len(config.stash[SELECTED])


def results_folder(config) -> Path:
    return paths.results_folder(config.option.results, config.option.profile)


@pytest.fixture(scope="session")
def start(request):
    """``start()`` gives what all cases share. Only a case that runs calls it: nothing before imports torch."""

    @cache
    def started():
        from bench.run.session import Session

        config = request.config
        return Session(
            results_folder(config),
            config.stash[CASES],
            set(config.stash[SELECTED]),
            config.stash[PROGRESS],
            config.option.device,
            _own_name(config) if config.option.rerun == "all" else None,
            config.option.explain,
            config.option.case_timeout,
        )

    return started


def _own_name(config) -> str:
    """A name that the workers of one session share and no other session has."""
    return getattr(config, "workerinput", {}).get("testrunuid") or uuid4().hex


@pytest.fixture
def rounds(request, case):
    """``rounds(function, count)``: pytest-benchmark's rounds where it is enabled; ``count`` calls in any case."""
    plugin = request.config.pluginmanager.hasplugin("benchmark")
    benchmark = request.getfixturevalue("benchmark") if plugin else None
    progress = request.config.stash[PROGRESS]
    with progress.task(case.id) as advance:

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
    progress.case_ended()


@pytest.fixture
def reuse(request):
    """``reuse(case, rounds)``: whether a finished record stands for the case; its epochs then count as rounds."""
    rerun, folder = request.config.option.rerun, results_folder(request.config)
    told = set()

    def say(text):
        # A record is looked at again once it is the case's turn.
        if text not in told:
            request.config.stash[PROGRESS].say(text)
        told.add(text)

    def reusable(case, rounds):
        found = None if rerun == "all" else record.reusable(case, folder, say)
        if request.config.option.explain and not case.control and not record.has_picture(folder, case.id):
            found = None
        if found is None and rerun == "none":
            pytest.skip("not run: --rerun none")
        if found is None:
            return False
        epochs = iter(found.curve[1:])
        rounds(lambda: clock.advance(next(epochs)["epoch_seconds"]), case.epochs)
        request.node.user_properties.append(("reused", True))
        return True

    return reusable


def pytest_report_teststatus(report):
    if report.when == "call" and report.passed and ("reused", True) in report.user_properties:
        return "passed", "r", "REUSED"
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Write the report and let the baseline decide; not in a worker of xdist, not after collecting only."""
    config = session.config
    if config.stash.get(SELECTED, None) and not config.option.collectonly and not hasattr(config, "workerinput"):
        chosen = config.stash[MATRIX], config.stash[CASES], config.stash[SELECTED]
        try:
            config.stash[ENDING] = Ending(*chosen, results_folder(config), config.option)
            good = config.stash[ENDING].good
        except WriteError as error:
            config.stash[FAULT], good = str(error), False
        except KeyboardInterrupt:
            session.exitstatus, good = pytest.ExitCode.INTERRUPTED, False
        if not good and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if ENDING in config.stash:
        config.stash[ENDING].tell(terminalreporter)
    if FAULT in config.stash:
        terminalreporter.write_line(config.stash[FAULT], red=True)
    if exitstatus == pytest.ExitCode.INTERRUPTED and SELECTED in config.stash:
        chosen = [case for case in config.stash[CASES] if case.id in config.stash[SELECTED]]
        done = sum(record.reusable(case, results_folder(config)) is not None for case in chosen)
        told = stopping.how_to_go_on(done, len(config.stash[SELECTED]), config.invocation_params.args)
        terminalreporter.write_line(told, bold=True)
