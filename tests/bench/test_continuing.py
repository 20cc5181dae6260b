"""Which checkpoints of a run stay: those that this session made, or that any made on the same features."""

from types import SimpleNamespace

import pytest
import torch

from bench import continuing
from bench.teacher_pass.reduction import Pca

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
    """``clear(restart, distilled)`` clears a folder, trains an epoch more in it, and says which epochs there were, and what was told."""
    folder = tmp_path / "shapes-dino-projection"

    def run(restart=None, distilled=PLAIN):
        told = continuing.clear(folder, restart, distilled)
        left = sorted(path.stem for path in folder.glob("epoch-*"))
        (folder / f"epoch-{len(left) + 1:04d}.safetensors").touch()
        return len(left), told

    return run


def test_checkpoints_stay_where_nothing_is_made_anew(clear):
    assert [clear()[0] for _ in range(3)] == [0, 1, 2]


def test_a_session_that_makes_all_anew_removes_what_others_made_and_keeps_its_own_in_each_of_its_processes(clear):
    clear()
    assert [clear("first")[0] for _ in range(2)] == [0, 1]
    assert clear()[0] == 2  # a session that goes on
    assert clear("first") == (3, "") and clear("second") == (0, "")


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
