"""Cases whose teacher's weights cannot be had: each says so in its own words, and they are sought once."""

from dataclasses import replace

import pytest

from bench.kit.progress import Progress
from bench.plan import matrix
from bench.results import record
from bench.run import session
from bench.run.failures import CaseError
from bench.run.session import Session
from teachers import WeightsError

FETCH = "hf download timm/vit_base_patch16_224.dino model.safetensors"


def test_each_case_ends_with_the_command_that_fetches_them_and_no_traceback(run_bench, tiny_matrix, tmp_path):
    content = tiny_matrix.read_text().replace("weights: pocket", "weights: pretrained")
    (tmp_path / "matrix.yaml").write_text(content.replace(", scenes: [blip]", ""))
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    ran = run_bench(tmp_path / "results", "-rN", "-k", "cbam", matrix=tmp_path / "matrix.yaml", env=offline)
    assert ran.returncode == 1 and "2 failed" in ran.stdout
    assert ran.stdout.count(FETCH) == 2 and "Error" not in ran.stdout and "session.py" not in ran.stdout
    found, _ = record.read_all(tmp_path / "results")
    assert len(found) == 2 and all(one.status == "failed" and FETCH in one.message for one in found.values())


def test_weights_are_sought_once_for_all_cases_of_a_teacher(tiny_matrix, tmp_path, monkeypatch):
    cases = [case for case in matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix) if case.teacher == "dino"]
    sought = []

    def none(name, weights):
        sought.append(name)
        raise WeightsError(f"teacher {name}: no weights")

    monkeypatch.setattr(session, "load_teacher", none)
    shared = Session(tmp_path, tuple(cases), {case.id for case in cases}, Progress(None), "cpu")
    # The control has a teacher of its own, of which nothing is known yet.
    for case in (*cases, replace(cases[0], control="random-teacher")):
        with pytest.raises(CaseError, match=r"^teacher dino: no weights$"), shared.recording(case) as entry:
            shared.training(case)
        assert entry.status == "failed"
    assert len(cases) == 4 and sought == ["dino", "dino"]
