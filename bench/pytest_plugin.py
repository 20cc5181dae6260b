"""pytest wiring: options, parametrisation, fixtures and the report at the end. It decides nothing."""

from contextlib import contextmanager
from functools import cache
from uuid import uuid4

import pytest

from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.options import add_options
from bench.run.selection import Ending, Selection, is_benchmark

SELECTION = pytest.StashKey()
PROGRESS = pytest.StashKey()
ENDING = pytest.StashKey()


def pytest_addoption(parser):
    add_options("pytest", parser.getgroup("distill-bench").addoption)


def pytest_configure(config):
    with usage_errors():
        paths.use(config.option.data)
    config.addinivalue_line("markers", "benchmark: options of pytest-benchmark")
    # Several workers of xdist would draw over each other.
    config.stash[PROGRESS] = Progress(None) if hasattr(config, "workerinput") else Progress.on_stderr()


def pytest_unconfigure(config):
    if PROGRESS in config.stash:
        config.stash[PROGRESS].close()


@contextmanager
def usage_errors():
    try:
        yield
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session):
    """Read the matrix before anything is collected: a fault in it is a usage error."""
    config = session.config
    with usage_errors():
        if is_benchmark(config.args, config.option):
            config.stash[SELECTION] = Selection(config.option)


def pytest_generate_tests(metafunc):
    config = metafunc.config
    if "case" in metafunc.fixturenames and SELECTION in config.stash:
        limit = config.option.case_timeout
        marks = [pytest.mark.timeout(limit, method="signal", func_only=True)] if limit else []
        cases = [pytest.param(case, id=case.id, marks=marks) for case in config.stash[SELECTION].cases]
        metafunc.parametrize("case", cases)


def pytest_collection_finish(session):
    select(session.config, [item.nodeid for item in session.items])
    if SELECTION in session.config.stash and not session.config.option.collectonly:
        with usage_errors():
            session.config.stash[SELECTION].make_ready(session.config.stash[PROGRESS])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    select(node.config, ids)


def select(config, node_ids):
    if SELECTION in config.stash:
        config.stash[SELECTION].select(node_ids)
        config.stash[PROGRESS].expect_cases(len(config.stash[SELECTION].ids))


@pytest.fixture(scope="session")
def start(request):
    """``start()`` gives what all cases share. Only a case that runs calls it: nothing before imports torch."""

    @cache
    def started():
        from bench.run.session import Session

        config = request.config
        selection, option, progress = config.stash[SELECTION], config.option, config.stash[PROGRESS]
        # A name that the workers of one session share and no other session has.
        own_name = getattr(config, "workerinput", {}).get("testrunuid") or uuid4().hex
        restart = own_name if option.rerun == "all" else None
        what = selection.folder, selection.cases, set(selection.ids), progress
        return Session(*what, option.device, restart, option.explain, option.case_timeout)

    return started


@pytest.fixture
def turn(request, case, start):
    """The finished record that is reused for the case, else None; and the session that runs it alone, else None.

    A fixture, so that neither starting nor waiting for another process counts towards ``--case-timeout``.
    """
    selection, say = request.config.stash[SELECTION], request.config.stash[PROGRESS].say
    if finished := selection.reusable(case, say):
        yield finished, None
        return
    if request.config.option.rerun == "none":
        pytest.skip("not run: --rerun none")
    session = start()
    with session.turn(case):
        # Another process may have finished it while this one waited.
        finished = selection.reusable(case, say)
        yield finished, None if finished else session


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


def pytest_report_teststatus(report):
    if report.when == "call" and report.passed and ("reused", True) in report.user_properties:
        return "passed", "r", "REUSED"
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Write the report and let the baseline decide; not in a worker of xdist, not after collecting only."""
    config = session.config
    selection = config.stash.get(SELECTION, None)
    if selection and selection.needs_ending and not config.option.collectonly and not hasattr(config, "workerinput"):
        try:
            config.stash[ENDING] = Ending(selection)
            good = config.stash[ENDING].good
        except KeyboardInterrupt:
            session.exitstatus, good = pytest.ExitCode.INTERRUPTED, False
        if not good and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if ENDING in config.stash:
        config.stash[ENDING].print(terminalreporter)
    if exitstatus == pytest.ExitCode.INTERRUPTED and SELECTION in config.stash:
        terminalreporter.write_line(config.stash[SELECTION].how_to_go_on(config.invocation_params.args), bold=True)
