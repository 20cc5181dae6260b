"""Queue matching against its authors' code, and what its queue holds."""

import copy

import pytest
import torch

from bench.training.losses import StudentBatch, TeacherBatch, Widths
from bench.training.losses.queue_matching import SIZE, Loss, queue_matching
from tests.bench.training.losses.drawn import embeddings, regular

SCALE = torch.tensor(5.0)


def step(loss, student, teacher, texts=(None, None)):
    return loss(StudentBatch(student, texts[0], None, SCALE), TeacherBatch(teacher, texts[1], None, 20.0))


def test_value_and_gradient_are_those_of_the_authors_code():
    """lightly-ai/lightly-train, 8f5a75c, src/lightly_train/_methods/distillationv3: the second of two batches, whose queue
    still holds zeros; printed by authors.py."""
    images, _, teacher, earlier = regular(4, 5, 3)
    loss = Loss(Widths(3, 3)).double()
    with torch.no_grad():
        loss.projector.weight.copy_(torch.eye(3))
    step(loss, earlier, earlier)
    value = step(loss, images.requires_grad_(), teacher)
    assert value.item() == pytest.approx(7.897370082765191, rel=1e-12)
    (gradient,) = torch.autograd.grad(value, images)
    expected = [1.95945532793316, -1.292443331343178, -3.356075552190398]
    assert gradient[0].tolist() == pytest.approx(expected, rel=1e-10)


def test_the_queue_holds_the_newest_first_and_drops_the_oldest():
    loss = Loss(Widths(2, 2))
    batches = [torch.full((SIZE // 2, 2), float(number)) for number in (1, 2, 3)]
    for batch in batches:
        step(loss, batch, batch)
    assert loss.queue[:, 0].tolist() == [3.0] * (SIZE // 2) + [2.0] * (SIZE // 2)


def test_of_a_batch_beyond_the_queue_the_first_rows_are_held():
    loss, teacher = Loss(Widths(4, 4)), embeddings(SIZE + 3, 4, seed=1).float()
    step(loss, teacher, teacher)
    assert torch.equal(loss.queue, teacher[:SIZE])


def test_captions_stand_beside_their_images():
    loss, (images, texts) = Loss(Widths(4, 4)), embeddings(2, 3, 4, seed=1).float()
    step(loss, images, images, (texts, texts))
    assert torch.equal(loss.queue[:6:2], images)
    assert torch.equal(loss.queue[1:6:2], texts)
    assert torch.equal(loss.queue[6:], torch.zeros(SIZE - 6, 4))


def test_a_run_that_continues_from_a_checkpoint_has_the_same_queue():
    (first, second), loss = embeddings(2, 3, 4, seed=1).float(), Loss(Widths(4, 4))
    step(loss, first, first)
    again = Loss(Widths(4, 4))
    again.load_state_dict(copy.deepcopy(loss.state_dict()))
    assert torch.equal(step(again, second.flip(0), second), step(loss, second.flip(0), second))


@pytest.mark.parametrize("batch", [1, 2])
def test_zero_vectors_are_equally_like_all_and_equal_ones_have_nothing_to_learn(batch):
    zeros, rows = torch.zeros(batch, 3), embeddings(batch, 3, seed=1).float()
    queue = embeddings(4, 3, seed=2).float()
    assert queue_matching(rows, rows, queue).item() == pytest.approx(0, abs=1e-6)
    logits = rows @ queue.T / 0.07
    entropy = -(logits.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
    assert queue_matching(zeros, rows, queue).item() == pytest.approx(
        torch.tensor(4.0).log().item() - entropy.item(), rel=1e-5
    )


def test_a_teacher_that_is_not_a_number_is_not_hidden_by_later_batches():
    loss, rows = Loss(Widths(4, 4)), embeddings(2, 3, 4, seed=1).float()
    assert step(loss, rows[0], rows[0] * float("nan")).isnan()
    assert step(loss, rows[1], rows[1]).isnan()
