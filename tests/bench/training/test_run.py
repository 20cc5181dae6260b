"""Training: what is learned and read, determinism, resume to the bit."""

import copy

import pytest
import torch

import students
from bench import registry
from bench.features.views import Stored
from bench.kit.errors import UserError
from bench.training import clock
from bench.training.run import Run
from tests.bench.training.runs import BASE, NAMES, WIDTH, case, features, finish, finish_all, run, same, step
from tests.breadth import some


@pytest.mark.parametrize("name", NAMES)
def test_every_student_learns(tmp_path, name):
    training = run(tmp_path, case(name, epochs=8))
    finish(training)
    assert training.history[-1]["loss"] < training.history[1]["loss"]


KINDS = {"scenes-clip-projection-5ep": ("captions",), "shapes-dino-projection-5ep": ("classification", "images")}
NEEDS = {name: registry.constant("loss", name, "NEEDS") for name in registry.names("loss")}
FEW = {(name, loss) for name in KINDS for loss in ("phi-s", "queue-matching")}
LOSSES = [(name, loss) for name, kinds in KINDS.items() for loss, needs in NEEDS.items() if needs in ("any", *kinds)]


@pytest.mark.parametrize(("name", "loss"), some(LOSSES, FEW))
def test_every_loss_falls(tmp_path, name, loss):
    """To less than half where the teacher's embeddings follow from its features, and an image's captions from the image."""
    data, generator = features(name.startswith("scenes")), torch.Generator().manual_seed(1)
    image, text = torch.randn(2, WIDTH, 9, generator=generator)
    arrays, unit = data._sources, torch.nn.functional.normalize
    arrays["joint"] = unit(arrays["pooled"] @ image, dim=-1)
    if "text_joint" in arrays:
        arrays["text_joint"] = arrays["joint"][data.split.owner]
        arrays["text_pooled"] = unit(arrays["text_joint"] @ text.T, dim=-1)
    training = run(tmp_path, case(name, loss=loss, epochs=30, learning_rate=0.01), data=data)
    finish(training)
    assert training.history[-1]["loss"] < 0.5 * training.history[1]["loss"]


@pytest.mark.parametrize(
    ("name", "loss", "expected"),
    [
        ("scenes-clip-attention-5ep", "attention-transfer", {"tokens", "attention", "joint", "text_tokens", "text_joint"}),
        ("scenes-clip-projection-5ep", "logit-matching", {"pooled", "joint", "text_pooled", "text_joint"}),
        ("scenes-clip-projection-5ep", "contrastive", {"pooled", "text_pooled"}),
        ("shapes-dino-projection-5ep", "rkd", {"pooled", "joint"}),
        ("shapes-dino-resnet-5ep", "cross-entropy", {"pixels", "labels"}),
        ("shapes-dino-resnet-5ep", "dkd", {"pixels", "labels", "joint"}),
    ],
)  # fmt: skip
def test_training_reads_only_what_the_student_and_its_loss_need(tmp_path, name, loss, expected):
    """What is not read does not count when arrays are brought to the device, nor is it streamed."""
    data = features(name.startswith("scenes"))
    training = run(tmp_path, case(name, loss=loss, epochs=1), data=data)
    assert training.resident
    finish(training)
    assert set(data._columns) == expected


def test_the_scale_of_a_run_is_the_one_that_is_trained(tmp_path):
    training = run(tmp_path, case("scenes-clip-projection-5ep", loss="contrastive"))
    assert training.scale == pytest.approx(1 / 0.07)
    finish(training)
    assert training.scale == pytest.approx(training.criterion.log_scale.exp().item()) != pytest.approx(1 / 0.07)
    assert training.scale == run(tmp_path, case("scenes-clip-projection-5ep", loss="contrastive")).scale


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        *some([(name, BASE[name].loss) for name in NAMES], lambda each: "attention" in each[0]),
        ("scenes-clip-projection-5ep", "feature-mse"),
        ("shapes-dino-projection-5ep", "cross-entropy"),
    ],
)
def test_a_run_that_was_stopped_after_any_epoch_ends_with_the_same_weights_to_the_bit(tmp_path, name, loss):
    """Those of the loss's projector or classifier, too, which are trained."""
    chosen = case(name, loss=loss)
    first = copy.deepcopy(run(tmp_path / "whole", chosen).criterion.state_dict())
    whole = finish_all(run(tmp_path / "whole", chosen))
    assert not any(torch.equal(whole[f"criterion.{part}"], value) for part, value in first.items() if "loss." in part)
    for stop in (1, 2, 3):
        part = run(tmp_path / f"part-{stop}", chosen)
        for _ in range(stop):
            step(part)
        torch.rand(7)  # the next process has another random state
        again = run(tmp_path / f"part-{stop}", chosen)
        assert same(whole, finish_all(again))
        assert [entry["epoch"] for entry in again.history] == [0, 1, 2, 3, 4]


def test_class_logits_are_those_of_the_view(tmp_path):
    """Each view of the 40 images has embeddings of its own."""
    plain = features(captions=False)
    joint = torch.nn.functional.normalize(torch.randn(80, 9, generator=torch.Generator().manual_seed(2)), dim=1)
    training = run(tmp_path, case("shapes-dino-resnet-5ep", loss="dkd"), data=Stored(plain, {"joint": joint}, 0.0, 2))
    logits = []
    training.criterion.register_forward_hook(lambda _, given, __: logits.append(given[3].logits))
    step(training)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))  # of seed 0, epoch 1
    expected = training.class_logits(joint[(order + 1) % 2 * 40 + order])
    assert torch.equal(torch.cat(logits), expected[:32])


@pytest.mark.parametrize("name", NAMES)
def test_streamed_features_train_the_same_student_to_the_bit(tmp_path, monkeypatch, name):
    whole = run(tmp_path / "whole", case(name, epochs=2))
    weights = finish(whole)
    monkeypatch.setattr("bench.features.columns.free_bytes", lambda device: 0)
    streamed = run(tmp_path / "streamed", case(name, epochs=2))
    assert same(weights, finish(streamed))
    losses = [[entry["loss"] for entry in one.history[1:]] for one in (whole, streamed)]
    assert losses[0] == losses[1]
    assert whole.resident and not streamed.resident


def test_a_longer_case_continues_the_shorter_one(tmp_path):
    short = run(tmp_path / "shared", case(epochs=2), keep=[2, 4])
    finish(short)
    before = clock.training_seconds()
    long = run(tmp_path / "shared", case(epochs=4), keep=[2, 4])
    step(long), step(long)
    counted = clock.training_seconds() - before
    assert counted == pytest.approx(sum(entry["epoch_seconds"] for entry in short.history[1:]))
    assert same(finish(long), finish(run(tmp_path / "alone", case(epochs=4))))
    assert same(finish(run(tmp_path / "shared", case(epochs=2), keep=[2, 4])), short.student.state_dict())


@pytest.mark.parametrize("name", KINDS)
def test_a_loss_that_remembers_batches_resumes_to_the_bit(tmp_path, name):
    """Its queue belongs to the checkpoint, and the step that warms up does not enter it."""
    chosen = case(name, loss="queue-matching")
    whole = finish_all(run(tmp_path / "whole", chosen))
    step(run(tmp_path / "part", chosen))
    assert same(whole, finish_all(run(tmp_path / "part", chosen)))
    assert whole["criterion.loss.queue"].any()


def test_a_student_with_dropout_resumes_to_the_bit(tmp_path, monkeypatch):
    """The global random state belongs to the checkpoint."""
    build = students.build

    def with_dropout(*arguments):
        student = build(*arguments)
        student.image_tower = torch.nn.Sequential(torch.nn.Dropout(0.5), student.image_tower)
        return student

    monkeypatch.setattr(students, "build", with_dropout)
    chosen = case("scenes-clip-projection-5ep")
    whole = finish(run(tmp_path / "whole", chosen))
    run(tmp_path / "part", chosen).epoch()
    torch.manual_seed(99)
    assert same(whole, finish(run(tmp_path / "part", chosen)))
    monkeypatch.setattr(Run, "_warm_up", lambda self: None)
    assert same(whole, finish(run(tmp_path / "cold", chosen)))


@pytest.mark.parametrize("name", NAMES)
def test_the_step_that_warms_up_changes_nothing(tmp_path, monkeypatch, name):
    """On a CPU it takes a few images."""
    steps, step = [], Run._step

    def watched(self, student, criterion, optimiser, batch):
        steps.append((student is self.student, len(batch.inputs)))
        return step(self, student, criterion, optimiser, batch)

    monkeypatch.setattr(Run, "_step", watched)
    warm = finish_all(run(tmp_path / "warm", case(name, epochs=1)))
    assert steps == [(False, 4), (True, 16), (True, 16)]
    run(tmp_path / "warm", case(name, epochs=1))  # all of it is there: nothing is to be timed
    assert len(steps) == 3
    monkeypatch.setattr(Run, "_warm_up", lambda self: None)
    assert same(warm, finish_all(run(tmp_path / "cold", case(name, epochs=1))))


def test_a_student_that_no_gradient_reaches_is_named(tmp_path, monkeypatch):
    """Else it would finish untrained, with the loss's projector learning alone."""
    monkeypatch.setattr(students.Student, "image", lambda self, inputs: (self.image_tower(inputs).detach(), None))
    with pytest.raises(UserError, match=r"no weight of student 'projection' gets a gradient.* loss 'feature-cosine'"):
        run(tmp_path, case("shapes-dino-projection-5ep", loss="feature-cosine"))


def test_the_rate_is_constant_after_the_warm_up(tmp_path):
    training = run(tmp_path)
    rates = []
    for number in range(6):
        training._set_rate(number)
        rates.append(training.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3, 1e-3, 1e-3])


@pytest.mark.parametrize("loss", ["attention-transfer", "feature-mse"])
def test_no_decay_on_biases_and_the_scale(tmp_path, loss):
    training = run(tmp_path, case(loss=loss))
    decayed = {id(p) for g in training.optimiser.param_groups if g["weight_decay"] for p in g["params"]}
    for name, parameter in training.student.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim > 1), name
    for name, parameter in training.criterion.named_parameters():
        assert (id(parameter) in decayed) == (name == "loss.projector.weight"), name
