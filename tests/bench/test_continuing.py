"""Which checkpoints of a run stay: those that this session made, or that any made on the same features."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from bench import continuing, matrix, record
from bench.progress import Progress
from bench.session import Session
from bench.teacher_pass.reduction import Pca
from tests.bench.made import made

PLAIN = SimpleNamespace(image_pca=None, text_pca=None)


def reduced(turned=0):
    """Features that were reduced; ``turned`` components point the other way."""
    weight = torch.eye(4)[:2]
    weight[:turned] *= -1
    return SimpleNamespace(
        image_pca=Pca(weight, torch.zeros(2), 0.9), text_pca=Pca(torch.eye(4)[:2], torch.zeros(2), 0.8)
    )


@pytest.fixture
def clear(tmp_path):
    """``clear(restart, distilled, epochs)`` clears for a case, and trains an epoch more: the epochs before, and what was told."""
    folder = tmp_path / "shapes-dino-projection"

    def run(restart=None, distilled=PLAIN, epochs=9):
        told = continuing.clear(folder, epochs, restart, distilled)
        left = len([*folder.glob("epoch-*")])
        (folder / f"epoch-{left + 1:04d}.safetensors").touch()
        return left, told

    return run


def test_checkpoints_stay_where_nothing_is_made_anew(clear):
    assert [clear()[0] for _ in range(3)] == [0, 1, 2]


def test_a_session_that_makes_all_anew_removes_what_others_made_and_keeps_its_own_in_each_of_its_processes(clear):
    clear()
    assert [clear("first")[0] for _ in range(2)] == [0, 1]
    assert clear()[0] == 2  # a session that goes on
    assert clear("first") == (3, "") and clear("second") == (0, "")


def test_a_shorter_case_that_is_made_anew_leaves_what_a_longer_one_ended_with(tmp_path):
    def clear(epochs, restart):
        continuing.clear(tmp_path, epochs, restart, PLAIN)
        return sorted(int(path.stem[-4:]) for path in tmp_path.glob("epoch-*"))

    for epoch in (4, 5, 9, 10):
        (tmp_path / f"epoch-{epoch:04d}.safetensors").touch()
    assert clear(5, "first") == [9, 10]
    (tmp_path / "epoch-0005.safetensors").touch()
    assert clear(10, "first") == [5]  # goes on from its own, and makes the rest anew
    (tmp_path / "epoch-0010.safetensors").touch()
    assert clear(5, "first") == [5, 10] and clear(10, "first") == [5, 10]


def test_checkpoints_of_another_reduction_are_removed_and_that_is_told(clear):
    assert [clear(distilled=reduced())[0] for _ in range(2)] == [0, 1]
    left, told = clear(distilled=reduced(turned=1))
    assert left == 0 and "another reduction" in told
    assert clear(distilled=reduced(turned=1)) == (1, "")


@pytest.mark.parametrize("content", [None, "", "[1]", '{"reduction": "0"}'])
def test_checkpoints_of_unknown_origin_are_continued_only_where_features_keep_their_width(clear, tmp_path, content):
    path = tmp_path / "shapes-dino-projection" / continuing.FILE
    for distilled, expected in ((PLAIN, 1 if content != '{"reduction": "0"}' else 0), (reduced(), 0)):
        path.parent.mkdir(exist_ok=True)
        for old in path.parent.iterdir():
            old.unlink()
        clear(distilled=distilled)
        path.unlink() if content is None else path.write_text(content)
        assert clear(distilled=distilled)[0] == expected


@pytest.mark.parametrize("done", [True, False])
def test_a_longer_training_keeps_what_finished_cases_of_lengths_ended_with_that_the_profile_has_no_more(
    tiny_matrix, tmp_path, done
):
    short = replace(matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0], epochs=2)
    record.write(made(short, status="done" if done else "failed"), tmp_path)
    for case in (short, replace(short, epochs=5)):
        run = Session(tmp_path, (case,), {case.id}, Progress(None), "cpu").training(case)
        while not run.finished:
            run.epoch()
    kept = sorted(int(path.stem[-4:]) for path in tmp_path.rglob("epoch-*"))
    assert kept == ([2, 4, 5] if done else [4, 5])
