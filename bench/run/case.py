"""One case: its teacher asked once for its features, the student trained and evaluated on the way, all measured at the end."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import data
from bench.data import twins
from bench.data.split import Split
from bench.features.device import Device
from bench.features.extract import Needs, Pass, TeacherFeatures, extract
from bench.features.several import side_by_side
from bench.features.views import trained_on
from bench.kit import tensor_file
from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.measure import controls, leakage
from bench.measure.accuracy import headline, protocol
from bench.measure.class_logits import class_logits
from bench.measure.cost import student_cost, teacher_cost
from bench.measure.model import Model, measured, of_student, of_teacher
from bench.plan.case import Case
from bench.results import record
from bench.training import checkpoint
from bench.training.losses import INITIAL_SCALE
from bench.training.run import Run
from students import Dims, Student, build
from teachers import Teacher

# ``once(key, compute)``: what was computed before under this key, or is now.
Once = Callable[[tuple, Callable[[], Any]], Any]


@dataclass(frozen=True)
class TeacherOnData:
    """A teacher, its features, itself as a scored model, its cost, and what it may have seen before."""

    teacher: Teacher
    features: TeacherFeatures
    model: Model
    cost: dict[str, float | None]
    leakage: dict


def splits_of(case: Case) -> tuple[Split, Split]:
    """The training and the test images of the case."""
    counts = {"train": case.train_samples, "test": case.test_samples}
    train, test = (data.load(case.dataset, split, count, images=case.images) for split, count in counts.items())
    return twins.left_out(train, test) if case.dedupe else train, test


def require_batch(case: Case, train: Split, test: Split) -> None:
    """Raise :class:`UserError` where there are too few images for a step of training, or for the paper's in-batch protocol."""
    for images, what in ((train, "training"), (test, "evaluation")):
        if len(images) < case.batch_size:
            raise UserError(
                f"{case.dataset} has {len(images)} {what} images, fewer than a batch of {case.batch_size}; set a smaller "
                "batch_size in matrix.yaml: in the profile's training: section, or in the student's override"
            )


def on_data(
    case: Case,
    teachers: Sequence[Teacher],
    splits: tuple[Split, Split],
    needs: Sequence[Needs],
    device: Device,
    log: Progress,
) -> TeacherOnData:
    """Run each of the case's teachers once over its dataset, or open what is stored of it; ``needs`` are of each."""
    train, test = splits
    if case.kind == "images":  # also of captions, where the teacher reads none
        train, test = train.images_alone(), test.images_alone()
    if case.kind == "classification" and case.teacher_reads_text:
        test = test.with_class_prompts()
    parts = {}
    for one, teacher, needed in zip(case.alone, teachers, needs, strict=True):
        name, teacher = f"{case.dataset}-{one.teacher}", teacher.to(device.torch)
        work = Pass(name, teacher, device.torch, device.teacher_precision, needed, log.say, log.task)
        parts[one.teacher] = teacher, extract(work, train, test)
    teacher, features = next(iter(parts.values()))
    if case.several:
        teacher, features = side_by_side(parts, case.features)
    model = of_teacher(case, features)
    cost = {} if case.has_random_teacher else teacher_cost(teacher, features, device)
    return TeacherOnData(teacher, features, model, cost, leakage.note(case, train, test))


def needs_of(case: Case, selected: list[Case]) -> list[Needs]:
    """What the selected students of each of the case's teachers, alone or beside others, read of it on the case's dataset."""
    return [_needs(case, one, selected) for one in case.alone]


def _needs(case: Case, alone: Case, selected: list[Case]) -> Needs:
    teacher = case.dataset, alone.teacher
    same = [one for one in selected if teacher in {(each.dataset, each.teacher) for each in one.alone}] or [case]
    text = case.kind == "captions" and any(one.text_reads == "tokens" for one in same)
    # A library's model takes longer to say where it looks, a teacher that has a file says so along the way.
    attention = alone.teacher_model is None or any("attention" in one.targets for one in same)
    tokens = any("tokens" in (one.reads, *one.targets) for one in same)
    return Needs(tokens, text, case.features, attention)


class CaseRun:
    """A case's training run with its evaluation; it starts at the newest checkpoint that it can continue from.

    ``keep`` are the epochs whose checkpoints other cases need.
    """

    def __init__(self, case: Case, shared: TeacherOnData, folder: Path, keep: set[int], device: Device, log: Progress):
        self.case, self.shared, self.device = case, shared, device
        features = shared.features
        if case.asks_teacher and (note := checkpoint.require_reduction(folder, features)):
            log.say(f"{case.run}: {note}")
        self.student = untrained(case, features)
        logits = class_logits(shared.model) if "logits" in case.targets else None
        self.training = Run(case, self.student, trained_on(case, features), folder, keep, device.mixed, logits)
        self.student = self.training.result
        for note in self.training.notes:
            log.say(note)
        if not self.training.resident:
            log.say(
                f"{case.run}: what it reads does not fit into {device.torch}'s free memory: it is streamed from disk"
            )
        steps = case.epochs * (len(self.training.features) // case.batch_size)
        if steps < case.warmup_steps:
            log.say(
                f"{case.run}: its {steps} steps are all warm-up, so the learning rate rises to {steps / case.warmup_steps:.2g} of "
                "what it is given: take more epochs, smaller batches or fewer warmup_steps"
            )
        self._model: Model | None = None  # the student as it was evaluated last
        self._initial: Model | None = None  # and before its training, where that is here
        if not self.training.epochs_done and len(self.training.history[0]) == 1:
            self.training.history[0] |= self._evaluate()
            if "untrained" in case.controls:
                self._initial = copy(self._model)
                self._initial.scale = INITIAL_SCALE

    def epoch(self) -> int:
        """Train one epoch, evaluate where it is a point of the curve, and keep it; or count one that a checkpoint holds.
        Returns how many are done."""
        if self.training.epoch():
            done = self.training.epochs_done
            is_point = done % self.case.evaluate_every == 0 or done in self.training.keep
            self.training.save(self._evaluate() if is_point else {})
        return self.training.epochs_done

    def _evaluate(self) -> dict[str, float]:
        """The headline accuracies of the student as it is now."""
        self._model = self._scored(self.student, self.training.scale)
        return headline(self._model, self.shared.model)

    def _scored(self, student: Student, scale: float) -> Model:
        return of_student(student, self.case, self.shared.features, scale, self.device.mixed)

    def _untrained(self) -> Model:
        return self._initial or self._scored(
            untrained(self.case, self.shared.features).to(self.device.torch), INITIAL_SCALE
        )

    def measure(self, entry: record.Record, once: Once) -> None:
        """Fill the record with everything that is measured of the trained student."""
        case, shared, training, features = self.case, self.shared, self.training, self.shared.features
        student = self._model or self._scored(self.student, training.scale)
        # No point of the curve yet, where a longer case's run was stopped here.
        training.history[-1] |= headline(student, shared.model)
        teacher = shared.model.at_batch(case.batch_size)
        entry.metrics = student.metrics | measured("fidelity", case.kind, student, teacher)
        entry.set_time("epoch_seconds", *training.epoch_seconds())
        entry.set_time("teacher_pass_seconds", features.seconds + training.features.seconds, features.machine)
        if features.image_pca and not case.several:
            entry.metrics["explained_variance_image"] = features.image_pca.explained_variance
        if features.text_pca:
            entry.metrics["explained_variance_text"] = features.text_pca.explained_variance
        entry.curve = training.history
        if case.kind != "images":
            entry.in_batch = {"student": student.over_batches, "teacher": teacher.over_batches}
        subject = controls.Subject(case, student, teacher, features, self._untrained, shared.cost, once)
        entry.controls = controls.of_case(subject)
        entry.teacher = entry.controls.pop("teacher", {})
        entry.protocol = protocol(case, features, shared.teacher, student, training.resident, shared.leakage)
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.student.state_dict().items()}
        entry.protocol |= {"version": record.PROTOCOL, "student_weights_sha256": tensor_file.digest(tensors)}
        if training.class_logits:
            entry.protocol["class_logits"] = training.class_logits.source
        # Cases of one run have the same student; the costs of a big teacher's forward pass are measured once.
        if case.control is None:
            cost = partial(student_cost, case, self.student.eval(), shared.teacher, features, self.device)
            entry.metrics |= once(("cost", case.teacher, case.run_fingerprint), cost)


def untrained(case: Case, features: TeacherFeatures) -> Student:
    """The case's student as initialised."""
    dims = Dims(features.train.width, case.embedding, case.bottleneck, case.trunk)
    model = case.student_model and case.student_model.at(features.test.split.side)
    return build(case.student, dims, case.kind, case.seed, model)
