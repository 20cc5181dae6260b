"""Training: determinism, resume to the bit, checkpoints that are damaged, losses that are not finite."""

import dataclasses

import pytest
import torch

import students
from bench import checkpoint, clock, matrix, train
from bench.data import Split
from bench.features import Features
from bench.losses import NAMES as NEEDS
from bench.train import CaptionsOfImages, NotFiniteError, Run
from students import Dims

IMAGES, WIDTH = 40, 12
SMALL = {"batch_size": 16, "epochs": 4, "warmup_steps": 3, "embedding": 10, "bottleneck": 6}
BASE = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}


def features(captions=True):
    generator = torch.Generator().manual_seed(0)

    def unit(*shape):
        return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)

    owner = torch.arange(IMAGES).repeat_interleave(3)
    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8)
    split = Split(pixels, owner=owner)
    if not captions:
        split = Split(pixels, classes=("one", "two", "three", "four"), labels=torch.arange(IMAGES) % 4)
    tokens, lengths = unit(IMAGES, 17, WIDTH), torch.randint(1, 8, (120,), generator=generator)
    arrays = {"tokens": tokens, "pooled": tokens[:, 0], "joint": unit(IMAGES, 9),
              "attention": torch.rand(IMAGES, 16, generator=generator)}  # fmt: skip
    if captions:
        arrays |= {"text_pooled": unit(120, WIDTH), "text_tokens": unit(int(lengths.sum()), WIDTH),
                   "text_joint": unit(120, 9), "text_lengths": lengths}  # fmt: skip
    return Features(split, arrays, 14.0, torch.device("cpu"))


def case(name="scenes-clip-attention-5ep", **changes):
    return dataclasses.replace(BASE[name], **(SMALL | changes))


def run(folder, chosen=None, keep=(), data=None):
    chosen = chosen or case()
    data = data or features(chosen.kind == "captions")
    dims = Dims(WIDTH, chosen.embedding, chosen.bottleneck, "pocket")
    return Run(chosen, students.build(chosen.student, dims, chosen.kind), data, folder, set(keep), dict)


def finish(training):
    while not training.finished:
        training.epoch()
    return {name: value.clone() for name, value in training.student.state_dict().items()}


def finish_all(training):
    """Weights of the student and of what its loss has trained with it."""
    weights = finish(training)
    return weights | {f"criterion.{name}": value.clone() for name, value in training.criterion.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


NAMES = ["scenes-clip-attention-5ep", "scenes-clip-cbam-5ep", "scenes-blip-resnet-5ep", "shapes-dino-projection-5ep"]


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_falls_and_every_student_learns(tmp_path, name):
    training = run(tmp_path, case(name, epochs=8))
    finish(training)
    losses = [entry["loss"] for entry in training.history[1:]]
    assert losses[-1] < losses[0]


KINDS = {"scenes-clip-projection-5ep": "captions", "shapes-dino-projection-5ep": "classification"}
LOSSES = [(name, loss) for name, kind in KINDS.items() for loss, needs in NEEDS.items() if needs in ("any", kind)]


@pytest.mark.parametrize(("name", "loss"), LOSSES)
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
    ("name", "loss", "trained"),
    [
        ("scenes-clip-projection-5ep", "feature-mse", "criterion.projector.weight"),
        ("shapes-dino-projection-5ep", "cross-entropy", "criterion.classifier.weight"),
    ],
)
def test_what_a_loss_trains_is_in_the_checkpoint(tmp_path, name, loss, trained):
    """A run that was killed ends with the projector and the classifier of one that was not."""
    chosen = case(name, loss=loss)
    first = run(tmp_path / "whole", chosen).criterion.state_dict()[trained.removeprefix("criterion.")].clone()
    whole = finish_all(run(tmp_path / "whole", chosen))
    assert not torch.equal(whole[trained], first)
    for stop in (1, 3):
        part = run(tmp_path / f"part-{stop}", chosen)
        for _ in range(stop):
            part.epoch()
        torch.rand(7)
        assert same(whole, finish_all(run(tmp_path / f"part-{stop}", chosen)))


@pytest.mark.parametrize(
    ("name", "loss", "expected"),
    [
        (
            "scenes-clip-attention-5ep",
            "attention-transfer",
            {"tokens", "attention", "joint", "text_tokens", "text_joint"},
        ),
        ("scenes-clip-projection-5ep", "logit-matching", {"pooled", "joint", "text_pooled", "text_joint"}),
        ("scenes-clip-projection-5ep", "contrastive", {"pooled", "text_pooled"}),
        ("shapes-dino-projection-5ep", "rkd", {"pooled", "joint"}),
        ("shapes-dino-resnet-5ep", "cross-entropy", {"pixels", "labels"}),
    ],
)
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


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_stopped_after_any_epoch_ends_with_the_same_weights_to_the_bit(tmp_path, name):
    whole = finish(run(tmp_path / "whole", case(name)))
    for stop in (1, 2, 3):
        part = run(tmp_path / f"part-{stop}", case(name))
        for _ in range(stop):
            part.epoch()
        torch.rand(7)  # the next process has another random state
        again = run(tmp_path / f"part-{stop}", case(name))
        assert same(whole, finish(again))
        assert [entry["epoch"] for entry in again.history] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", NAMES)
def test_streamed_features_train_the_same_student_to_the_bit(tmp_path, monkeypatch, name):
    whole = run(tmp_path / "whole", case(name, epochs=2))
    weights = finish(whole)
    monkeypatch.setattr("bench.features.free_bytes", lambda device: 0)
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
    long.epoch(), long.epoch()
    counted = clock.training_seconds() - before
    assert counted == pytest.approx(sum(entry["epoch_seconds"] for entry in short.history[1:]))
    assert same(finish(long), finish(run(tmp_path / "alone", case(epochs=4))))
    assert same(finish(run(tmp_path / "shared", case(epochs=2), keep=[2, 4])), short.student.state_dict())


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
    steps = []
    step = Run._step
    monkeypatch.setattr(Run, "_step", lambda self, *them: (steps.append(them[0] is self.student), step(self, *them))[1])
    warm = finish_all(run(tmp_path / "warm", case(name, epochs=1)))
    assert steps == [False, True, True]
    run(tmp_path / "warm", case(name, epochs=1))  # all of it is there: nothing is to be timed
    assert len(steps) == 3
    monkeypatch.setattr(Run, "_warm_up", lambda self: None)
    assert same(warm, finish_all(run(tmp_path / "cold", case(name, epochs=1))))


def test_the_rate_is_constant_after_the_warm_up(tmp_path):
    training = run(tmp_path)
    rates = []
    for step in range(6):
        training._set_rate(step)
        rates.append(training.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3, 1e-3, 1e-3])


@pytest.mark.parametrize("loss", ["attention-transfer", "feature-mse"])
def test_no_decay_on_biases_and_the_scale(tmp_path, loss):
    training = run(tmp_path, case(loss=loss))
    decayed = {id(p) for g in training.optimiser.param_groups if g["weight_decay"] for p in g["params"]}
    for name, parameter in training.student.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim > 1), name
    for name, parameter in training.criterion.named_parameters():
        assert (id(parameter) in decayed) == (name == "projector.weight"), name


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-9] + b"\x01" + data[-8:]]
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, damage):
    whole = finish(run(tmp_path / "whole"))
    part = run(tmp_path / "part")
    for _ in range(3):
        part.epoch()
    newest = tmp_path / "part" / "epoch-0003.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    again = run(tmp_path / "part")
    assert again.notes and str(newest) in again.notes[0]
    assert len(again._restored) == 2
    assert same(whole, finish(again))


def test_every_byte_of_a_checkpoint_counts(tmp_path):
    training = run(tmp_path)
    training.epoch()
    path = tmp_path / "epoch-0001.safetensors"
    data = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for place in torch.randint(0, len(data), (60,), generator=generator).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.restore(path, training.student, training.criterion, training.optimiser)


def test_a_file_that_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, monkeypatch):
    finish(run(tmp_path))
    files = sorted(tmp_path.glob("*.safetensors"))

    def refuse(*_, **__):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(checkpoint, "safe_open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        run(tmp_path)
    assert sorted(tmp_path.glob("*.safetensors")) == files


@pytest.mark.parametrize("name", ["resnet", "densenet", "cbam"])
def test_the_optimisers_state_keeps_its_parameters_memory_format(tmp_path, name):
    """CUDA's fused AdamW requires equal strides of a parameter and its moments; files keep none."""
    chosen = case(f"scenes-clip-{name}-5ep", epochs=1)
    finish(run(tmp_path, chosen))
    resumed = run(tmp_path, dataclasses.replace(chosen, epochs=2))
    pairs = [(p, state[name]) for p, state in resumed.optimiser.state.items() for name in ("exp_avg", "exp_avg_sq")]
    assert any(p.ndim == 4 and not p.is_contiguous() for p, _ in pairs)
    assert all(p.stride() == moment.stride() for p, moment in pairs)


def test_another_configuration_does_not_continue_this_run(tmp_path):
    finish(run(tmp_path))
    other = run(tmp_path, case(learning_rate=5e-4))
    assert other.epochs_done == 0 and not other._restored


def test_a_loss_that_is_not_finite_stops_the_run_and_is_not_saved(tmp_path):
    data = features()
    data._sources["tokens"][::2] = float("nan")
    training = run(tmp_path, data=data)
    with pytest.raises(NotFiniteError, match="scenes-clip-attention: the loss is nan in epoch 1"):
        training.epoch()
    assert not list(tmp_path.glob("*.safetensors"))


def test_what_a_batch_norm_has_gathered_is_looked_at_too(tmp_path):
    training = run(tmp_path, case("shapes-dino-resnet-5ep"))
    norm = next(m for m in training.student.modules() if isinstance(m, torch.nn.BatchNorm2d))
    norm.running_var.fill_(float("inf"))  # it is not read in training, so the loss stays finite
    with pytest.raises(NotFiniteError, match="running_var is not finite after epoch 1"):
        training.epoch()
    assert not list(tmp_path.glob("*.safetensors"))


def test_seconds_of_two_machines_are_never_averaged(tmp_path, monkeypatch):
    """Only the epochs of the machine that ends the run count; of a run that it only reads, those of the last one."""

    def continued(on, until, clock):
        monkeypatch.setattr(train, "machine", lambda device: on)
        monkeypatch.setattr(train.time, "perf_counter", iter(clock).__next__)
        training = run(tmp_path, case(epochs=4))
        while training.epochs_done < until:
            training.epoch()
        return training.epoch_seconds()

    assert continued("laptop", 2, [0, 10, 10, 24]) == (12, "laptop")
    assert continued("server", 4, [0, 1, 1, 4]) == (2, "server")
    assert continued("third", 4, []) == (2, "server")
    assert continued("laptop", 4, []) == (12, "laptop")


def test_captions_are_drawn_evenly_and_belong_to_their_image():
    owner = torch.tensor([1, 0, 2, 1, 0, 1, 2, 2, 2])  # not in order, and of different counts
    draw, generator = CaptionsOfImages(owner), torch.Generator().manual_seed(0)
    counts = torch.zeros(9)
    for _ in range(3000):
        rows = draw.draw(generator)
        assert owner[rows].tolist() == [0, 1, 2]
        counts[rows] += 1
    expected = 3000 / torch.bincount(owner)[owner]
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()
