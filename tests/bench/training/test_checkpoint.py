"""Which checkpoints of a run stay: those that this session made, or that any made on the same features."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bench.features.reduction import Pca
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.results import record
from bench.run.job import Job
from bench.run.session import Session
from bench.training import checkpoint
from tests.bench.made import made

PLAIN = SimpleNamespace(image_pca=None, text_pca=None)


def reduced(turned=0):
    """Features that were reduced; ``turned`` components point the other way."""
    weight = torch.eye(4)[:2]
    weight[:turned] *= -1
    return SimpleNamespace(
        image_pca=Pca(weight, torch.zeros(2), 0.9), text_pca=Pca(torch.eye(4)[:2], torch.zeros(2), 0.8)
    )


def keep(folder, *epochs):
    """Checkpoints of these epochs, as a run keeps them."""
    student = nn.Linear(1, 1)
    optimiser = torch.optim.AdamW(student.parameters())
    for epoch in epochs:
        path = folder / f"epoch-{epoch:04d}.safetensors"
        checkpoint.save(path, {"student": student}, optimiser, {"epoch": epoch, "run": "a run"})


@pytest.fixture
def clear(tmp_path):
    """``clear(session, features)`` clears for a case, and trains an epoch more: the epochs before, and what was logged."""
    folder = tmp_path / "shapes-dino-projection"

    def run(session=None, features=PLAIN):
        if session:
            checkpoint.restart(folder, 9, session)
        note = checkpoint.require_reduction(folder, features)
        left = len(checkpoint.usable(folder))
        keep(folder, left + 1)
        return left, note

    return run


def test_a_session_that_makes_all_anew_continues_from_what_it_made_itself_in_each_of_its_processes(clear, tmp_path):
    assert [clear()[0] for _ in range(3)] == [0, 1, 2]
    other = tmp_path / "shapes-dino-projection" / "epoch-0004-mine.safetensors"
    other.touch()
    assert [clear("first")[0] for _ in range(2)] == [0, 1] and other.exists()
    assert clear()[0] == 2  # a session that goes on
    assert clear("first") == (3, "") and clear("second") == (0, "")


def test_a_shorter_case_that_is_made_anew_leaves_what_a_longer_one_ended_with(tmp_path):
    def clear(length, session):
        checkpoint.restart(tmp_path, length, session)
        return [*checkpoint.usable(tmp_path)]

    keep(tmp_path, 4, 5, 9, 10)
    assert clear(5, "first") == [9, 10]
    keep(tmp_path, 5)
    assert clear(10, "first") == [5]  # goes on from its own, and makes the rest anew
    keep(tmp_path, 10)
    assert clear(5, "first") == [5, 10] and clear(10, "first") == [5, 10]


def test_what_is_made_anew_stays_until_the_new_is_there(tmp_path):
    keep(tmp_path, 4, 5)
    before = {path: path.read_bytes() for path in tmp_path.glob("epoch-*")}
    checkpoint.restart(tmp_path, 5, "first")
    assert not checkpoint.usable(tmp_path) and {path: path.read_bytes() for path in before} == before
    keep(tmp_path, 5)
    assert [*checkpoint.usable(tmp_path)] == [5]


def test_checkpoints_of_another_reduction_are_removed_and_that_is_logged(clear):
    assert [clear(features=reduced())[0] for _ in range(2)] == [0, 1]
    left, note = clear(features=reduced(turned=1))
    assert left == 0 and "PCA has changed since its checkpoints were written" in note
    assert clear(features=reduced(turned=1)) == (1, "")


@pytest.mark.parametrize("content", [None, "", "[1]", '{"up_to": "many"}', '{"more": 1}'])
def test_checkpoints_of_unknown_origin_are_continued_only_where_features_keep_their_width(clear, tmp_path, content):
    path = tmp_path / "shapes-dino-projection" / checkpoint.ORIGIN
    for features, expected in ((PLAIN, (1, "")), (reduced(), (0, "the teacher's PCA may have changed"))):
        path.parent.mkdir(exist_ok=True)
        for old in path.parent.iterdir():
            old.unlink()
        clear(features=features)
        path.unlink(missing_ok=True) if content is None else path.write_text(content)
        left, note = clear(features=features)
        assert left == expected[0] and note.startswith(expected[1])


def test_a_file_that_cannot_be_read_now_is_not_taken_for_missing(clear, tmp_path, monkeypatch):
    clear(features=reduced())
    monkeypatch.setattr(Path, "read_bytes", lambda path: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"):
        clear(features=reduced())
    assert [*checkpoint.epochs(tmp_path / "shapes-dino-projection")] == [1]


@pytest.mark.parametrize("stop", [0, 1, 2])
def test_what_an_interrupted_removal_left_is_never_continued_from(tmp_path, monkeypatch, stop):
    keep(tmp_path, 3, 4, 5)
    unlink, calls = Path.unlink, []

    def killed(path, **options):
        if path.name.startswith("epoch"):
            calls.append(path)
            if len(calls) > stop:
                raise KeyboardInterrupt
        unlink(path, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        checkpoint.require_reduction(tmp_path, reduced())
    assert len(checkpoint.epochs(tmp_path)) == 3 - stop
    assert checkpoint.require_reduction(tmp_path, reduced()) == "" and not checkpoint.usable(tmp_path)


def test_a_run_that_is_made_anew_is_void_before_the_teachers_pass(tiny_matrix, tmp_path, monkeypatch):
    case = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]
    session = Session(Job(tmp_path, (case,), frozenset({case.id}), "first", "cpu", "all"), Progress(None))
    folder = tmp_path / "checkpoints" / case.run
    keep(folder, 1)
    monkeypatch.setattr(session, "_shared_by", lambda case: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        session.training(case)
    assert checkpoint.epochs(folder) and not checkpoint.usable(folder)


@pytest.mark.parametrize("done", [True, False])
def test_a_longer_training_keeps_what_finished_cases_of_lengths_ended_with_that_the_profile_has_no_more(
    tiny_matrix, tmp_path, done
):
    short = replace(matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0], epochs=2)
    record.write(made(short, status="done" if done else "failed"), tmp_path)
    for case in (short, replace(short, epochs=5)):
        run = Session(Job(tmp_path, (case,), frozenset({case.id}), "second", "cpu"), Progress(None)).training(case)
        while not run.training.finished:
            run.epoch()
    kept = sorted(int(path.stem[-4:]) for path in tmp_path.rglob("epoch-*"))
    assert kept == ([2, 4, 5] if done else [4, 5])
