"""The loop that times are compared with does the same work."""

import pytest
import torch

from tests.bench.training import step_speed


@pytest.mark.parametrize("name", ["projection", "attention"])
def test_a_loop_written_by_hand_has_the_same_losses(tmp_path, monkeypatch, name):
    monkeypatch.setattr(step_speed, "IMAGES", 256)
    run = step_speed.ours(name, tmp_path)
    plain = step_speed.Plain(run)
    for epoch in (1, 2):
        assert run._train_epoch(epoch) == pytest.approx(plain.epoch(epoch), rel=1e-5)


def test_traffic_counts_what_an_operation_reads_and_writes_once():
    first, other = torch.zeros(2, 100)
    with step_speed.Traffic() as traffic:
        first + other
        first[:50].relu_()
    assert traffic.bytes == {"add": 3 * 400, "relu_": 2 * 200}
