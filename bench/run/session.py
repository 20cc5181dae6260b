"""What the cases of one pytest session share: the results folder, the device, data and features computed once."""

import gc
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from bench import data
from bench.data import prepared
from bench.explain import picture
from bench.features.extract import Distilled, Needs, Pass, distil
from bench.kit import alarm
from bench.kit.device import Device, for_worker
from bench.kit.lock import locked
from bench.kit.progress import Progress
from bench.measure import accuracy, leakage
from bench.measure.cost import student_cost, teacher_cost
from bench.measure.in_batch import in_batch_accuracy
from bench.measure.timing import PeakMemory
from bench.plan.case import Case
from bench.results import record
from bench.run import failures
from bench.run.failures import CaseError
from bench.run.teacher import Shared, protocol, training_metrics
from bench.training import resume
from bench.training.criterion import INITIAL_SCALE
from bench.training.run import Run
from students import Dims, Student, build
from teachers import Teacher, Weights, WeightsError
from teachers import load as load_teacher


class Session:
    """Runs cases. Features of a teacher on a dataset are computed once and kept until another pair is asked for."""

    def __init__(
        self,
        folder: Path,
        cases: tuple[Case, ...],
        selected: set[str],
        progress: Progress,
        device: str = "auto",
        restart: str | None = None,
        explain: bool = False,
        case_timeout: float | None = None,
    ):
        self.folder, self.cases, self.progress = folder, cases, progress
        self.restart, self.explain, self.case_timeout = restart, explain, case_timeout
        self.selected = [case for case in cases if case.id in selected]
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        device = for_worker(device, os.environ.get("PYTEST_XDIST_WORKER"), count)
        self.device = Device.of(device, cases[0].precision)
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        if workers > 1:
            # Threads of several workers on the same cores slow each other down many times over.
            torch.set_num_threads(max(1, torch.get_num_threads() // workers))
        self._shared: dict[tuple, Shared] = {}
        self._known: dict[tuple, dict] = {}
        self._refused: dict[tuple, str] = {}
        self._memory = PeakMemory(self.device.torch)

    def turn(self, case: Case) -> AbstractContextManager:
        """Surrounds a case: those of one run wait for each other, in whatever process they are."""
        return locked(self.folder / "checkpoints" / f"{case.run}.lock", self.progress.say)

    @contextmanager
    def recording(self, case: Case) -> Iterator[record.Record]:
        """A record that is on disk from the start and gets its status when the block ends, however it ends."""
        with alarm.paused():  # a timeout needs a record
            entry = record.Record.of(case)
            entry.environment["hardware"] |= self.device.described()
            record.write(entry, self.folder)
        start = time.perf_counter()
        try:
            # Before memory is looked at: what other teachers' cases share, and what one that ran out of it left, is not its own.
            if _key(case) not in self._shared:
                self._release()
            record.picture_of(self.folder, case.id).unlink(missing_ok=True)  # of a student that was here before
            yield entry
            entry.metrics["peak_memory_mb"] = self._memory.megabytes()
            entry.status, entry.message = "done", ""
        except KeyboardInterrupt:
            entry.message = "the case was interrupted; it will be tried again"
            raise
        except BaseException as error:
            entry.status = failures.status_of(error, self.case_timeout)
            entry.message = failures.message_of(error, entry.status, self.case_timeout)
            summary = failures.summary_of(error, entry.status, entry.message)
            if summary is None:
                self._release()
                raise
            # pytest keeps the traceback and with it every tensor of the failed case; only the message stays. What a
            # timeout interrupted may be half changed: the next case makes it anew.
            traceback.clear_frames(error.__traceback__)
            self._release()
            raise CaseError(summary) from None
        finally:
            alarm.cancel()
            entry.seconds = round(time.perf_counter() - start, 3)
            record.write(entry, self.folder)

    def distilled(self, case: Case) -> Distilled:
        """What the case's teacher says about its dataset; the teacher runs once for all cases that ask."""
        return self.shared(case).distilled

    def student(self, case: Case) -> Student:
        """The case's student, untrained."""
        dims = Dims(self.distilled(case).width, case.embedding, case.bottleneck, case.trunk)
        return build(case.student, dims, case.kind, case.seed)

    def training(self, case: Case) -> Run:
        """The case's training run, at the newest checkpoint that it can continue from."""
        folder = self.folder / "checkpoints" / case.run
        resume.restart(folder, case.epochs, self.restart)
        distilled, student = self.distilled(case), self.student(case)
        _require_batch(case, len(distilled.test))

        evaluation = accuracy.Evaluation(student, case, distilled, self.device.mixed)
        if note := resume.require_reduction(folder, distilled):
            self.progress.say(f"{case.run}: {note}")
        shorter = {other.epochs for other in self.cases if other.run == case.run} | self._ended(case, folder)
        run = Run(case, student, distilled.train, folder, shorter, evaluation, self.device.mixed)
        for note in run.notes:
            self.progress.say(note)
        if not run.resident:
            self.progress.say(
                f"{case.run}: what it reads does not fit into the free memory of {self.device.torch}: it is streamed from disk"
            )
        # From here on: what the teacher's pass took belongs to no student, and only the first would be charged with it.
        self._memory = PeakMemory(self.device.torch)
        return run

    def _ended(self, case: Case, folder: Path) -> set[int]:
        """Epochs after which finished cases of this run ended, also of lengths that the profile has no more."""
        kept = resume.epochs(folder)
        return {epoch for epoch in kept if record.reusable(replace(case, epochs=epoch), self.folder)}

    def measure(self, case: Case, run: Run, entry: record.Record) -> None:
        """Fill the record with everything that is measured of a trained student, and explain it where that is asked."""
        shared = self.shared(case)
        student = run.evaluate.embedded(run.scale)
        scored = accuracy.score(student, shared.distilled, case.batch_size)
        entry.curve, entry.protocol = run.history, protocol(case, run, shared) | {"probe": scored.probe}
        entry.metrics = scored.metrics | accuracy.fidelity(student, scored, shared.embedded, shared.scored)
        entry.metrics |= training_metrics(run, shared.distilled)
        entry.in_batch = {"student": accuracy.over_batches(scored), "teacher": accuracy.over_batches(shared.scored)}
        if "teacher" in case.controls or case.has_random_teacher:
            # Its in-batch accuracy is that of this student's batch size, whichever student asked for the teacher first.
            ranks = shared.scored.ranks
            in_batch = {"paper_accuracy": in_batch_accuracy(ranks, len(ranks), case.batch_size)}
            entry.teacher = shared.scored.metrics | in_batch | shared.cost
        entry.controls = self._controls(case, shared) | {"shuffled": scored.shuffled}
        # Cases of one run have the same student; the costs of a big teacher's forward pass are measured once.
        if case.control is None:
            cost = partial(student_cost, case, run.student.eval(), shared.teacher, shared.distilled, self.device)
            entry.metrics |= self._once(("cost", case.run_fingerprint), cost)
        if self.explain and case.control is None:
            picture.picture(
                record.picture_of(self.folder, case.id), case, run.student, shared.distilled, shared.teacher
            )
        # A figure that is not finite is no result: the case fails, and says which it is.
        record.check_done(entry)

    def _controls(self, case: Case, shared: Shared) -> dict[str, dict[str, float]]:
        """The controls that need no training of their own."""
        found = {}
        if "untrained" in case.controls:
            untrained = partial(self._untrained, case, shared)
            found["untrained"] = self._once(("untrained", case.run_fingerprint), untrained)
        if "raw-pixels" in case.controls and case.kind == "classification":
            key = ("pixels", case.dataset, case.train_samples, case.test_samples)
            found["raw-pixels"] = self._once(key, partial(accuracy.knn_of_pixels, shared.distilled))
        return found

    def _untrained(self, case: Case, shared: Shared) -> dict[str, float]:
        fresh = self.student(case).to(self.device.torch)
        student = accuracy.embedded_by(fresh, case, shared.distilled, INITIAL_SCALE, self.device.mixed)
        scored = accuracy.score(student, shared.distilled, case.batch_size)
        return scored.metrics | accuracy.fidelity(student, scored, shared.embedded, shared.scored)

    def _once(self, key: tuple, compute: Callable[[], dict]) -> dict:
        """What was computed before under this key, or is now."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def shared(self, case: Case) -> Shared:
        """Teacher and features of the case, computed or opened once for all cases that share them.

        Room for them is made by :meth:`recording`.
        """
        key = _key(case)
        if key not in self._shared:
            train_split = data.load(case.dataset, "train", case.train_samples)
            test_split = data.load(case.dataset, "test", case.test_samples)
            _require_batch(case, len(test_split))
            teacher = self._teacher(case).to(self.device.torch)
            work = Pass(
                f"{case.dataset}-{case.teacher}", teacher, self.device.torch, self.device.teacher_precision,
                self._needs(case), self.progress.say, self.progress.task,
            )  # fmt: skip
            distilled = distil(work, train_split, test_split)
            embedded = accuracy.embedded_by_teacher(case, distilled)
            scored = accuracy.score(embedded, distilled, case.batch_size)
            cost = {} if case.has_random_teacher else teacher_cost(teacher, distilled, self.device)
            told = leakage.note(case, train_split, test_split)
            self._shared[key] = Shared(teacher, distilled, embedded, scored, cost, told)
        return self._shared[key]

    def _teacher(self, case: Case) -> Teacher:
        """The case's teacher. Weights that could not be had once are not sought again: each search waits for the hub."""
        key = _key(case)
        if key in self._refused:
            raise WeightsError(self._refused[key])
        try:
            return load_teacher(case.teacher, weights_of(case))
        except WeightsError as error:
            self._refused[key] = str(error)
            raise

    def _needs(self, case: Case) -> Needs:
        """What the selected students of the case's teacher and dataset read."""
        same = [one for one in self.selected if (one.dataset, one.teacher) == (case.dataset, case.teacher)] or [case]
        text = case.kind == "captions" and any(one.text_reads == "tokens" for one in same)
        return Needs(any(one.reads == "tokens" for one in same), text, case.features)

    def _release(self) -> None:
        """Let go of all that cases share, and give the device's memory back."""
        self._shared.clear()
        gc.collect()
        if self.device.torch.type == "cuda":
            torch.cuda.empty_cache()


def _require_batch(case: Case, images: int) -> None:
    """Raise ``ValueError`` where there are too few evaluation images for the paper's protocol, before anything is trained."""
    if images < case.batch_size:
        raise ValueError(
            f"{case.dataset} has {images} evaluation images, fewer than a batch of {case.batch_size}; set a smaller "
            "batch_size in matrix.yaml: in the profile's training: section, or in the student's override"
        )


def _key(case: Case) -> tuple:
    """What cases that share a teacher and its features have in common."""
    return case.dataset, case.teacher, case.has_random_teacher


def weights_of(case: Case) -> Weights:
    """Which weights the case's teacher is loaded with."""
    real = case.dataset if case.weights == "pocket" and prepared.is_prepared_kind(case.dataset) else None
    if case.has_random_teacher:
        return Weights("untrained", real) if case.weights == "pocket" else Weights("random")
    return Weights(case.weights, real, Path(case.checkpoint) if case.checkpoint else None, case.revision)
