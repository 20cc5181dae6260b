"""CLIP-KD's sum against its authors' code and against its parts."""

import pytest
import torch
import torch.nn.functional as F

from bench.training.losses import StudentBatch, TeacherBatch, Widths, kd_sum
from bench.training.losses.combined import Loss as Combined
from tests.bench.training.losses.drawn import embeddings, regular


def test_value_and_gradients_are_those_of_the_authors_code():
    """winycg/CLIP-KD, f3ae18b, src/open_clip/loss.py, KDClipLoss with weights 1, 1 and 2000, its second factor being the
    first; printed by authors.py."""
    images, texts, *teacher = regular(4, 5, 3)
    leaves = images, texts, scale = [leaf.requires_grad_() for leaf in (images, texts, torch.tensor(5.0).double())]
    student = StudentBatch(F.normalize(images, dim=1), F.normalize(texts, dim=1), None, scale)
    loss = kd_sum.Loss(Widths(3, 3))(student, TeacherBatch(*teacher, None, 20.0))
    gradients = torch.autograd.grad(loss, leaves)
    assert loss.item() == pytest.approx(2295.625975488651, rel=1e-12)
    expected = [124.35237390516036, -82.02197523938665, -212.98569861256047]
    assert gradients[0][0].tolist() == pytest.approx(expected, rel=1e-10)
    expected = [-210.2235768635645, -54.910138302763926, 150.88742818252086]
    assert gradients[1][0].tolist() == pytest.approx(expected, rel=1e-10)
    assert gradients[2].item() == pytest.approx(2.341781928216977, rel=1e-10)


@pytest.mark.parametrize("width", [3, 7])
def test_features_are_compared_behind_one_projector_and_similarities_before_it(width):
    images, texts = embeddings(2, 2, width, seed=1).float()
    teacher = TeacherBatch(*embeddings(2, 2, 7, seed=2).float(), None, 20.0)
    student, loss = StudentBatch(images, texts, None, torch.tensor(10.0)), kd_sum.Loss(Widths(width, 7))
    weight = loss.projector.weight if width != 7 else torch.eye(7)
    images, texts = (side @ weight.T / (side @ weight.T).norm(dim=1, keepdim=True) for side in (images, texts))
    distance = ((images - teacher.images) ** 2).mean() + ((texts - teacher.texts) ** 2).mean()
    rows = [10 * images @ teacher.texts.T, 10 * texts @ teacher.images.T]
    interactive = -sum(row.softmax(dim=1).diagonal().log().mean() for row in rows) / 2
    expected = Combined(Widths(width, 7))(student, teacher) + interactive + 2000 * distance
    assert loss(student, teacher).item() == pytest.approx(expected.item(), rel=1e-5)
