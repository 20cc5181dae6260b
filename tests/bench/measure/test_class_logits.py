"""Class logits of teachers without a classifier: the probe's, or those of prompts."""

from types import SimpleNamespace

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import normalize

from bench.data.split import Concepts
from bench.kit.errors import UserError
from bench.measure.class_logits import class_logits
from bench.measure.model import Model

CLASSES, WIDTH = ("round", "square", "long"), 6


def teacher(labels, prompts=None):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(len(CLASSES), WIDTH, generator=generator)
    bank = normalize(centres[labels] + torch.randn(len(labels), WIDTH, generator=generator), dim=1)
    concepts = Concepts(CLASSES, labels, ("a", "b", "c", "d"), torch.tensor([0, 1, 1, 2]))
    split = SimpleNamespace(classes=CLASSES, labels=labels, owner=None, concepts=concepts)
    part = SimpleNamespace(split=split)
    return Model(SimpleNamespace(train=part, test=part), 2, bank, 20.0, bank=bank, prompts=prompts)


def test_a_teacher_without_text_has_those_of_its_linear_probe():
    """scikit-learn's logistic regression is another implementation; logits are compared without what is common to all."""
    model = teacher(torch.arange(60) % 3)
    made, bank = class_logits(model), model.bank.double().numpy()
    scaled = StandardScaler().fit_transform(bank)
    other = LogisticRegression(C=1 / (model.probe.regularisation * 60), tol=1e-10, max_iter=10000)
    expected = torch.from_numpy(other.fit(scaled, model.labels.numpy()).decision_function(scaled)).float()
    ours = made(model.bank)
    centred = [logits - logits.mean(dim=1, keepdim=True) for logits in (ours, expected)]
    assert torch.allclose(*centred, atol=2e-3) and centred[0].abs().max() > 0.1
    assert made.source == "a linear probe on its training features"


def test_a_teacher_that_reads_text_has_those_of_zero_shot():
    prompts = normalize(torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(1)), dim=1)
    model = teacher(torch.arange(12) % 3, prompts)
    made = class_logits(model)
    means = normalize(torch.stack([prompts[0], prompts[1] + prompts[2], prompts[3]]), dim=1)
    assert torch.allclose(made(model.images), 20.0 * model.images @ means.T, atol=1e-5)
    assert torch.equal(made(model.images).argmax(dim=1), model.zero_shot.predictions)
    assert made.source == "zero-shot by the classes' names"


def test_a_class_without_a_training_image_is_named():
    with pytest.raises(UserError, match="no training image has the class square"):
        class_logits(teacher(torch.tensor([0, 2, 0, 2, 0, 2])))
