"""A session in which one case runs out of memory: it is recorded as such, its memory goes, and the next case is done."""

import json

# The first case fails in its second step. What is looked for afterwards: the failed step's own tensors while pytest keeps
# the traceback, and what the case was trained with once the next one trains.
PLUGIN = """
import gc
import json
import os
import weakref
from pathlib import Path

import torch

from bench.run import session
from bench.training import run as train

step, shared_by = train.Run._step, session.Session._shared_by
sizes, of_the_step, of_the_case, left = [], [], [], {}


def alive(references):
    gc.collect()
    return [type(reference()).__name__ for reference in references if reference() is not None]


def watched(self, case):
    shared = shared_by(self, case)
    if case.student == "projection":
        of_the_case.extend(map(weakref.ref, (shared.teacher, shared.features.train, shared.features.test)))
    return shared


def short_of_memory(self, student, criterion, optimiser, batch):
    if self.case.student == "cbam":
        left.setdefault("when the next case trains", alive(of_the_step + of_the_case))
        return step(self, student, criterion, optimiser, batch)
    sizes.append(len(batch.inputs))
    if len(sizes) == 3:  # a warm-up with copies, the first step, and this one
        large = torch.zeros(1000)
        of_the_step.extend(map(weakref.ref, (large, batch.inputs)))
        of_the_case.append(weakref.ref(self.student))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    return step(self, student, criterion, optimiser, batch)


def pytest_runtest_teardown():
    left.setdefault("while pytest keeps the traceback", alive(of_the_step))


def pytest_sessionfinish():
    Path(os.environ["SEEN"]).write_text(json.dumps({"sizes": sizes} | left))


train.Run._step, session.Session._shared_by = short_of_memory, watched
"""


def test_a_case_that_runs_out_of_memory_is_recorded_lets_it_go_and_the_next_is_done(run_bench, tmp_path):
    (tmp_path / "short_of_memory.py").write_text(PLUGIN)
    env = {"PYTHONPATH": str(tmp_path), "SEEN": str(tmp_path / "seen.json")}
    ran = run_bench(tmp_path / "results", "-p", "short_of_memory", "-k", "shapes and 1ep", env=env)
    assert ran.returncode == 1 and "1 failed, 1 passed" in ran.stdout, ran.stdout + ran.stderr
    path = tmp_path / "results" / "records" / "shapes-dino-projection-1ep.json"
    first, second = (json.loads(each.read_text()) for each in (path, path.with_stem("shapes-dino-cbam-1ep")))
    assert first["status"] == "oom" and second["status"] == "done"
    assert first["message"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"
    # As the matrix has it: no smaller batch was tried, and none is told.
    assert first["case"]["batch_size"] == second["case"]["batch_size"] == 32
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen.pop("sizes") == [32, 32, 32]
    assert seen == {"while pytest keeps the traceback": [], "when the next case trains": []}
    assert "| shapes-dino-projection-1ep | out of memory |" in (tmp_path / "results" / "report.md").read_text()
