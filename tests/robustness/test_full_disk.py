"""Where the disk takes no more, the file is named, nothing old is destroyed, and the next run goes on.

The limit is one on the size of a file (``RLIMIT_FSIZE``): writing beyond it fails in the middle of a write, as on a full disk.
"""

import errno
import resource
import shutil
import subprocess
from contextlib import suppress

import pytest
import torch
from torch import nn

from bench import report
from bench.kit import array_store, paths
from bench.kit.files import WriteError, write_text
from bench.plan import matrix
from bench.report import redraw
from bench.results import record, running
from bench.run import remote
from bench.run.job import Job
from bench.training import checkpoint
from tests.breadth import some
from tests.robustness.conftest import results_of

CASES = matrix.cases(matrix.load(), "pocket")


def remains(place):
    """All files but the report's and the list of its plots: without records there is nothing to report."""
    files = [path for path in place.rglob("*") if path.is_file() and path.suffix not in (".md", ".svg")]
    files = [path for path in files if path.name != "plots.json"]
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("gone", "largest_bytes", "named"),
    some(
        [
            (("results", "data"), 8000, "data/features/scenes-blip"),
            (("results",), 3000, ".safetensors cannot be written"),
            (("results/records",), 3000, ".json cannot be written"),
            (("results/curves.svg",), 3000, "svg cannot be written"),
            ((), 100, "baseline.json cannot be written"),
        ],
        lambda each: "features" in each[2] or "svg" in each[2],
    ),
    ids=["features", "checkpoints", "records", "report", "baseline"],
)
def test_a_write_that_fails_is_named_and_the_next_run_goes_on(run, whole, tmp_path, gone, largest_bytes, named):
    place = tmp_path / "place"
    shutil.copytree(whole, place)
    for name in gone:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    old = remains(place)
    baseline = () if gone else ("--save-baseline", str(place / "baseline.json"))
    ran = run(place, "-k", "scenes", *baseline, largest_bytes=largest_bytes, plots="svg" in named)
    assert ran.status == 1 and named in ran.output and "make room" in ran.output, ran.output
    assert "INTERNALERROR" not in ran.output and not list(place.rglob("*.tmp"))
    assert old.items() <= remains(place).items() and not (place / "baseline.json").exists()
    ran = run(place, "-k", "scenes")
    assert ran.status == 0, ran.output
    results = {name: entry for name, entry in results_of(place).items() if "scenes" in name}
    assert len(results) == 2 and results.items() <= results_of(whole).items()


@pytest.mark.slow
def test_a_store_that_is_full_in_a_workers_pass_is_named_and_the_next_run_goes_on(run, whole, tmp_path):
    ran = run(tmp_path, "--executor", "processes", largest_bytes=8000)
    assert ran.status == 1 and "data/features/" in ran.output and "make room" in ran.output, ran.output
    ran = run(tmp_path, "--executor", "processes")
    assert ran.status == 0 and results_of(tmp_path) == results_of(whole), ran.output


@pytest.mark.usefixtures("little_measured")
def test_a_store_that_is_full_in_a_task_of_ray_or_slurm_is_named_and_the_next_task_goes_on(
    matrix_file, tmp_path, monkeypatch
):
    """Both run these two functions; an exception of the pass would keep its cases from running at all."""
    case = matrix.cases(matrix.load(matrix_file), "tiny")[0]
    job = Job(tmp_path / "results", (case,), frozenset({case.id}), session="one", device="cpu")
    remote.mark(job)
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "data"))

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(array_store, "_write", fail)
        passed = remote.pass_of_teacher(job, case, remote.facts(case))
        outcomes = remote.outcomes(job, [case], remote.facts(case), passed)
    (failure, *_), failed = outcomes[case.id], record.load(job.folder, case.id)
    assert "data/features/" in failure and "No space left" in failure and "make room" in failure
    assert failed.status == "failed" and failed.message.endswith(failure)
    outcomes = remote.outcomes(job, [case], remote.facts(case), None)
    assert outcomes[case.id][0] is None and record.load(job.folder, case.id).status == "done"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_does_not_stop_what_only_says_that_a_case_runs(small_disk):
    with suppress(OSError):
        (small_disk / "filler").write_bytes(bytes(2**17))
    with running.announced(small_disk, CASES[0]) as (at, retries):
        at(1)
    assert retries == 0 and running.now(small_disk) == {}


def save(path, size):
    student = nn.Linear(size, size)
    checkpoint.save(path, {"student": student}, torch.optim.AdamW(student.parameters()), {"epoch": 1})


@pytest.mark.parametrize("write", [lambda path, size: write_text(path, "new" * size**2), save], ids=["text", "tensors"])
def test_a_real_full_disk_keeps_the_old_file(small_disk, write):
    path = small_disk / "folder" / "file"
    write(path, 50)
    old = path.read_bytes()
    with pytest.raises(WriteError, match=r"file cannot be written \(.*No space left.*make room"):
        write(path, 300)
    assert path.read_bytes() == old and list(path.parent.iterdir()) == [path]


def test_the_forms_of_an_older_report_stay_until_the_new_ones_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(redraw, "PLOTS", {})  # they would meet the full disk first
    names = ("report.md", "report.html", "report.csv", "report.tex")
    for name in names:
        (tmp_path / name).write_text(f"old {name}")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(WriteError, match=r"report.md cannot be written \(.*File too large.*make room"):
            report.write(tmp_path, CASES, "pocket")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {name: (tmp_path / name).read_text() for name in names} == {name: f"old {name}" for name in names}
    report.write(tmp_path, CASES, "pocket")
    assert not [name for name in names if (tmp_path / name).read_text() == f"old {name}"]
