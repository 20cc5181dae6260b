"""What the cases of one pytest session share: the results folder, the device, teachers with their features, the records."""

import gc
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from bench import registry
from bench.data.split import Split
from bench.explain import picture
from bench.features.device import Device, advice, for_worker
from bench.features.extract import weights_of
from bench.features.views import trained_on
from bench.kit.environment import usable_cores
from bench.kit.files import WriteError
from bench.kit.lock import alarm, alarm_paused, cancel_alarm, locked
from bench.kit.memory import keep_freed_memory
from bench.kit.progress import Progress
from bench.measure.timing import PeakMemory
from bench.plan.case import Case
from bench.results import record, running
from bench.run.case import CaseRun, TeacherOnData, needs_of, on_data, require_batch, splits_of
from bench.run.failures import describe
from bench.run.job import CaseError, Job, key_of
from bench.training import checkpoint
from teachers import Teacher, WeightsError
from teachers import _interface as interface
from teachers import load as load_teacher


def threads_of(case: Case, beside: int) -> int:
    """CPU threads for a case with ``beside`` others next to it: the number that its profile states, or its share of the cores.

    Threads of several cases on the same cores slow each other down many times over.
    """
    return case.threads or max(1, min(usable_cores(), torch.get_num_threads()) // (beside + 1))


class Session:
    """Runs cases. Features of a teacher on a dataset are computed once and kept until another pair is asked for."""

    def __init__(self, job: Job, progress: Progress):
        self.job, self.folder, self.cases, self.progress = job, job.folder, job.cases, progress
        self.selected = job.chosen
        first = job.cases[0]
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        name = for_worker(job.device, job.worker, count)
        torch.set_num_threads(threads_of(first, job.beside))
        keep_freed_memory()
        self.device = Device(name, first.precision)
        if not job.worker and first.weights != "pocket" and (note := advice(name, first.precision)):
            progress.say(note)
        self._shared: dict[tuple, TeacherOnData] = {}
        self._data: dict[tuple, tuple[Split, Split]] = {}
        self._known: dict[tuple, Any] = {}
        self._refused: dict[tuple, str] = {}
        self._memory = PeakMemory(self.device.torch)

    def run_or_reuse(self, case: Case, rounds: Callable[[Callable[[], None], int], None]) -> record.Record | None:
        """:meth:`run`, or the record of a process that has finished the case in the meantime: those of one run wait for each other."""
        with locked(running.lock_of(self.folder, case.run), self.progress.say):
            if finished := self.job.reusable(case, self.progress.say):
                return finished
            self.run(case, rounds)
        return None

    def run(self, case: Case, rounds: Callable[[Callable[[], None], int], None]) -> None:
        """Train and measure a case; ``rounds(epoch, count)`` calls ``epoch()`` so often.

        Raises :class:`CaseError` for what its message explains, and otherwise whatever went wrong; either is on the record.
        """
        with (
            running.announced(self.folder, case) as (at, retries),
            alarm(self.job.case_timeout),  # not before: outside of recording it would leave no record
            self.recording(case) as entry,
        ):
            entry.retries = retries
            # The teacher runs once over the data; every student and every epoch reads its features.
            run = self.training(case)
            # Each round trains one epoch, or counts one that a shorter case has trained already.
            rounds(lambda: at(run.epoch()), case.epochs)
            # Size, cost and accuracy; the teacher's row by the same protocol.
            self.measure(case, run, entry)

    def store_features(self, case: Case) -> None:
        """Have the case's teacher look at its data, and at the views that any case of its asks for: its features are stored."""
        shared = self._shared_by(case)
        same = [one for one in self.selected if key_of(one) == key_of(case) and one.asks_teacher]
        for one in {one.views: one for one in same}.values():
            trained_on(one, shared.features)

    @contextmanager
    def recording(self, case: Case) -> Iterator[record.Record]:
        """A record that is on disk from the start and gets its status when the block ends, however it ends."""
        with alarm_paused():  # a timeout needs a record
            entry = record.Record.of(case)
            entry.environment["hardware"] |= self.device.described() | self._gpu() | {"cases_beside": self.job.beside}
            # A finished record stays until there is a result to take its place: an interruption or a full disk is none.
            before, start = record.finished(self.folder, case.id), time.perf_counter()
            keeps = before is not None
            if before and before.fingerprint != case.fingerprint:
                self.progress.say(
                    f"{case.id}: a finished record of another configuration is replaced once this is done"
                )
        try:
            with alarm_paused():  # Python ignores what is raised while it collects garbage
                if not keeps:
                    self._write(entry)
                # Before memory is looked at: what other teachers' cases share, and what one that ran out of it left, is not its own.
                if key_of(case) not in self._shared:
                    self._release()
            start = time.perf_counter()
            yield entry
            entry.metrics["peak_memory_mb"] = self._memory.megabytes()
            entry.status, entry.message = "done", ""
            keeps = False
        except KeyboardInterrupt:
            entry.status, entry.message = "interrupted", "the case was interrupted; it will be tried again"
            raise
        except BaseException as error:
            entry.status, entry.message, summary = describe(error, self.job.case_timeout)
            keeps = keeps and isinstance(error, WriteError)
            if summary is None:
                self._release()
                raise
            # pytest keeps the traceback and with it every tensor of the failed case; only the message stays. What a
            # timeout interrupted may be half changed: the next case makes it anew.
            traceback.clear_frames(error.__traceback__)
            self._release()
            raise CaseError(summary) from None
        finally:
            cancel_alarm()
            entry.seconds = round(time.perf_counter() - start, 3)
            if not keeps:
                self._write(entry)

    def _write(self, entry: record.Record) -> None:
        try:
            record.write(entry, self.folder)
        except KeyboardInterrupt:
            record.write(entry, self.folder)  # else what stood there before would stay
            raise
        except WriteError as error:
            raise CaseError(str(error)) from None

    def training(self, case: Case) -> CaseRun:
        """The case's training run, at the newest checkpoint that it can continue from."""
        folder = self.folder / "checkpoints" / case.run
        # Before the teacher's pass: if that is interrupted, no later session may continue from what was to be made anew.
        if self.job.rerun == "all":
            checkpoint.restart(folder, case.epochs, self.job.session)
        lengths = {other.epochs for other in self.cases if other.run == case.run}
        # Also those of finished cases that the profile has no more.
        lengths |= {
            epoch for epoch in checkpoint.epochs(folder) if record.reusable(replace(case, epochs=epoch), self.folder)
        }
        require_batch(case, *self._splits(case))
        run = CaseRun(case, self._shared_by(case), folder, lengths, self.device, self.progress)
        # From here on: what the teacher's pass took belongs to no student, and only the first would be charged with it.
        self._memory = PeakMemory(self.device.torch)
        return run

    def measure(self, case: Case, run: CaseRun, entry: record.Record) -> None:
        """Fill the record with everything that is measured of a trained student, and explain it where that is asked."""
        with self.progress.task(f"{case.id}: accuracy, controls and cost"):
            run.measure(entry, self._once)
        # With the costs, which cases of one run share.
        load = self._once(("load", case.run_fingerprint), lambda: round(os.getloadavg()[0], 2))
        entry.environment["hardware"]["load_average"] = load
        path = record.picture_of(self.folder, case.id)
        if self.job.explain and case.has_picture:
            picture.picture(path, case, run.student, run.shared.features, run.shared.teacher)
        else:
            path.unlink(missing_ok=True)  # of the student that was here before
        # A figure that is not finite is no result: the case fails, and says which it is.
        entry.check_done()

    def _once(self, key: tuple, compute: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def _shared_by(self, case: Case) -> TeacherOnData:
        """Teacher and features of the case, for all cases that share them. Room for them is made by :meth:`recording`."""
        key = key_of(case)
        if key not in self._shared:
            needs, teachers = needs_of(case, self.selected), self._teachers(case)
            self._shared[key] = on_data(case, teachers, self._splits(case), needs, self.device, self.progress)
        return self._shared[key]

    def _splits(self, case: Case) -> tuple[Split, Split]:
        """The case's images, which teachers of one dataset share."""
        key = case.dataset, case.images, case.train_samples, case.test_samples, case.dedupe
        if key not in self._data:
            self._data.clear()  # before others come: two sets of images may not fit
            with self.progress.task(f"{case.dataset}: its images"):
                self._data[key] = splits_of(case)
        return self._data[key]

    def _teachers(self, case: Case) -> list[Teacher]:
        """The case's teachers. Weights that could not be had once are not sought again: each search waits for the hub."""
        key = key_of(case)
        if key in self._refused:
            raise WeightsError(self._refused[key])
        try:
            teachers = [
                load_teacher(one.teacher, weights_of(one), one.geometry, one.teacher_model) for one in case.alone
            ]
        except WeightsError as error:
            self._refused[key] = str(error)
            raise
        for one, teacher in zip(case.alone, teachers, strict=True):
            if not one.teacher_model and one.teacher not in registry.PAPERS:
                interface.require(one.teacher, teacher, one.teacher_reads_text)
        return teachers

    def _gpu(self) -> dict[str, str]:
        """Which GPU this process was given, by the identity that is its own on all machines; none on a CPU."""
        if self.device.torch.type == "cpu":
            return {}
        return {"gpu": str(torch.cuda.get_device_properties(self.device.torch).uuid)}

    def _release(self) -> None:
        """Let go of all that cases share, and give the device's memory back."""
        self._shared.clear()
        gc.collect()
        if self.device.torch.type == "cuda":
            torch.cuda.empty_cache()
