"""pytest wiring: options, parametrisation, fixtures and the report at the end. It decides nothing."""

import signal
from contextlib import contextmanager
from functools import cache
from html import escape
from uuid import uuid4

import pytest

from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.options import EXAMPLES, add_options
from bench.results import record
from bench.run import executors
from bench.run.selection import Ending, Selection, is_benchmark

SELECTION = pytest.StashKey()
PROGRESS = pytest.StashKey()
ENDING = pytest.StashKey()
EMPTY_PART = pytest.StashKey()  # whether other parts of --shard have all that was selected
# Of a case, as properties of its test.
FACTS = ("dataset", "teacher", "student", "loss", "control", "epochs", "seed", "fingerprint")


def pytest_addoption(parser):
    # Pytest shows a group's description where others have a title.
    shown = {"which cases": f"distill-bench, for example\n{EXAMPLES['pytest']}\n\ndistill-bench: which cases"}

    def group(title):
        name = f"distill-bench: {title}"
        return parser.getgroup(name, shown.get(title, name)).addoption

    add_options("pytest", group)


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
            # At the end of a run it imports all of hypothesis: a third of the time of a run that only reuses.
            config.pluginmanager.set_blocked("hypothesispytest")


def pytest_generate_tests(metafunc):
    config = metafunc.config
    if "case" in metafunc.fixturenames and SELECTION in config.stash:
        cases = [pytest.param(case, id=case.id) for case in config.stash[SELECTION].cases]
        metafunc.parametrize("case", cases)


@pytest.hookimpl(trylast=True)  # of what -k selects
def pytest_collection_modifyitems(config, items):
    if SELECTION in config.stash and (others := config.stash[SELECTION].other_shards()):
        left_out = [item for item in items if item.callspec.params["case"].id in others]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        config.stash[EMPTY_PART] = bool(left_out) and not items


def pytest_collection_finish(session):
    select(session.config, [item.nodeid for item in session.items])
    if SELECTION in session.config.stash and not session.config.option.collectonly:
        # Schedulers end a job by SIGTERM: it leaves and says what Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
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
def job(request):
    """What the session does; under pytest-xdist, this worker's share."""
    config = request.config
    given = getattr(config, "workerinput", None)
    if not given:
        return config.stash[SELECTION].job(uuid4().hex)
    return config.stash[SELECTION].job(
        given["testrunuid"], int(given["workerid"].removeprefix("gw")), given["workercount"]
    )


@pytest.fixture(scope="session")
def reusable(request, job):
    """The finished records that stood for selected cases when the session began, by id."""
    say = request.config.stash[PROGRESS].say
    return {case.id: entry for case in job.chosen if (entry := job.reusable(case, say))}


@pytest.fixture(scope="session")
def executor(request, job, reusable):
    """``executor()`` runs the cases. Only one that runs calls it: nothing before imports torch or starts a process."""
    config = request.config
    selection, progress = config.stash[SELECTION], config.stash[PROGRESS]

    @cache
    def started():
        name = "serial" if hasattr(config, "workerinput") else selection.executor
        return executors.executor(name, job, reusable, progress, config.option)

    yield started
    if started.cache_info().currsize:
        started().stop()


@pytest.fixture
def finished(case, job, reusable):
    """The finished record that is reused for the case, else None."""
    if case.id not in reusable and job.rerun == "none":
        pytest.skip("not run: --rerun none")
    return reusable.get(case.id)


@pytest.fixture
def rounds(request, case):
    """``rounds(function, count)``: pytest-benchmark's rounds where it is enabled; ``count`` calls in any case."""
    plugin = request.config.pluginmanager.hasplugin("benchmark")
    benchmark = request.getfixturevalue("benchmark") if plugin else None
    progress = request.config.stash[PROGRESS]

    def run(function, count):
        calls = 0
        with progress.task(case.id) as advance:

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
def show_metrics(request, case, job, record_property):
    """``show_metrics(record)`` gives its metrics to JUnit XML, pytest-html and pytest-benchmark's JSON; without one those of
    the record that the case left."""
    manager = request.config.pluginmanager
    benchmark, extras = (
        request.getfixturevalue(fixture) if manager.hasplugin(plugin) else None
        for plugin, fixture in (("benchmark", "benchmark"), ("html", "extras"))
    )

    def show(entry):
        entry = entry or record.load(job.folder, case.id)
        facts = {name: getattr(case, name) for name in FACTS} | entry.metrics
        facts = {name: value for name, value in facts.items() if value is not None}
        for name, value in facts.items():
            record_property(name, value)
        if benchmark is not None:
            benchmark.extra_info |= facts
        if extras is not None:
            from pytest_html.extras import html

            text = "".join(f"{name:28} {value}\n" for name, value in facts.items())
            extras.append(html(f"<pre>{escape(text)}</pre>"))

    return show


def pytest_report_teststatus(report):
    if report.when == "call" and report.passed and ("reused", True) in report.user_properties:
        return "passed", "r", "REUSED"
    return None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Write the report and let the baseline decide; not in a worker of xdist, not after collecting only or a usage error."""
    config = session.config
    if session.exitstatus == pytest.ExitCode.USAGE_ERROR:
        return
    if config.stash.get(EMPTY_PART, False):
        session.exitstatus = pytest.ExitCode.OK
    selection = config.stash.get(SELECTION, None)
    if selection and selection.needs_ending and not config.option.collectonly and not hasattr(config, "workerinput"):
        try:
            config.stash[ENDING] = Ending(selection, config.stash[PROGRESS])
            good = config.stash[ENDING].good
        except KeyboardInterrupt:
            session.exitstatus, good = pytest.ExitCode.INTERRUPTED, False
        if not good and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if config.stash.get(EMPTY_PART, False):
        terminalreporter.write_line("other parts of --shard have all cases: nothing is left for this one")
    elif SELECTION in config.stash and (hint := config.stash[SELECTION].hint(config.option.keyword, config.args)):
        terminalreporter.write_line(hint, bold=True)
    if ENDING in config.stash:
        config.stash[ENDING].print(terminalreporter)
    if exitstatus == pytest.ExitCode.INTERRUPTED and SELECTION in config.stash:
        terminalreporter.write_line(config.stash[SELECTION].how_to_go_on(config.invocation_params.args), bold=True)
