"""What the cases of one pytest session share: the results folder, the device, data and features computed once."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock

from bench import data, embed, record, train
from bench.case import Case
from bench.features import Distilled, distil
from bench.files import sweep
from bench.measure.flops import macs
from bench.measure.size import megabytes, parameters
from bench.measure.timing import PeakMemory, latency_ms
from bench.progress import Progress
from students import Dims, Student, build
from teachers import Teacher
from teachers import load as load_teacher


class Session:
    """Runs cases. Features of a teacher on a dataset are computed once and kept until another pair is asked for."""

    def __init__(self, folder: Path, cases: tuple[Case, ...], rerun: str, progress: Progress):
        self.folder, self.cases, self.rerun, self.progress = folder, cases, rerun, progress
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        sweep(folder)
        workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        if workers > 1:
            # Threads of several workers on the same cores slow each other down many times over.
            torch.set_num_threads(max(1, torch.get_num_threads() // workers))
        self._features: dict[tuple, tuple[Teacher, Distilled, dict]] = {}  # and the teacher's own row
        self._restarted: set[str] = set()

    @contextmanager
    def recording(self, case: Case) -> Iterator[record.Record]:
        """A record that is on disk from the start and gets its status when the block ends, however it ends."""
        lock = self.folder / "checkpoints" / f"{case.run}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        # Cases of one run wait for each other, in whatever process they are: one trains, the other continues.
        with FileLock(lock):
            entry = record.Record.of(case)
            entry.environment["hardware"]["device"] = self._device_name()
            entry.environment["hardware"]["threads"] = torch.get_num_threads()
            record.write(entry, self.folder)
            start, memory = time.perf_counter(), PeakMemory(self.device)
            try:
                yield entry
                entry.metrics["peak_memory_mb"] = memory.megabytes()
                entry.status, entry.message = "done", ""
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                entry.status, entry.message = _status_of(error), f"{type(error).__name__}: {error}".strip()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                raise
            finally:
                entry.seconds = round(time.perf_counter() - start, 3)
                record.write(entry, self.folder)

    def distilled(self, case: Case) -> Distilled:
        """What the case's teacher says about its dataset; the teacher runs once for all cases that ask."""
        return self._shared(case)[1]

    def student(self, case: Case) -> Student:
        """The case's student, untrained."""
        dims = Dims(self.distilled(case).width, case.embedding, case.bottleneck, case.trunk)
        return build(case.student, dims, case.kind, case.seed)

    def training(self, case: Case) -> train.Run:
        """The case's training run, at the newest checkpoint that it can continue from."""
        folder = self.folder / "checkpoints" / case.run
        if self.rerun == "all" and case.run not in self._restarted:
            shutil.rmtree(folder, ignore_errors=True)
        self._restarted.add(case.run)
        shorter = {other.epochs for other in self.cases if other.run == case.run}
        distilled, student = self.distilled(case), self.student(case)

        def evaluate() -> dict[str, float]:
            return embed.score_student(student, case, distilled)

        run = train.Run(case, student, distilled.train, folder, shorter, evaluate)
        for note in run.notes:
            self.progress.say(note)
        return run

    def measure(self, case: Case, run: train.Run, entry: record.Record) -> None:
        """Fill the record with everything that is measured of a trained student."""
        teacher, distilled, teacher_scores = self._shared(case)
        trained = run.history[1:]
        entry.curve = run.history
        entry.protocol = {"in_batch_size": case.batch_size, "in_batch_chance": 100 / case.batch_size}
        entry.teacher = teacher_scores
        entry.metrics = {name: value for name, value in run.history[-1].items() if name not in ("epoch", "loss")}
        entry.metrics["epoch_seconds"] = sum(item["epoch_seconds"] for item in trained) / len(trained)
        entry.metrics["teacher_pass_seconds"] = distilled.seconds
        if distilled.image_pca:
            entry.metrics["explained_variance_image"] = distilled.image_pca.explained_variance
            entry.metrics["explained_variance_text"] = distilled.text_pca.explained_variance
        entry.metrics |= self._cost(case, run.student.eval(), teacher, distilled)

    def _cost(self, case: Case, student: Student, teacher: Teacher, distilled: Distilled) -> dict[str, float]:
        """Size, MACs and latency of the student, and of all that must run to embed one image."""
        pixels = distilled.test.split.pixels[:64]
        tower = student.image_tower
        modules = [tower] if case.reads == "pixels" else [tower, teacher.vision()]
        if case.reads != "pixels" and distilled.image_pca:
            modules.append(distilled.image_pca)
        own = distilled.test.read(case.reads)[:1]
        deployed = deployed_path(case, student, teacher, distilled)
        with torch.no_grad():
            return {
                "parameters": parameters(student),
                "size_mb": megabytes(parameters(student)),
                "deployed_mb": megabytes(sum(parameters(module) for module in modules)),
                "macs": macs(lambda x: student.image(x)[0], [tower], own),
                "deployed_macs": macs(deployed, modules, pixels[:1]),
                "latency_ms_batch_1": latency_ms(lambda: deployed(pixels[:1]), self.device, repeats=15),
                "latency_ms_batch_64": latency_ms(lambda: deployed(pixels), self.device, repeats=5),
            }

    def _teacher_cost(self, teacher: Teacher, distilled: Distilled) -> dict[str, float]:
        """Size, MACs and latency of the teacher's image side."""
        pixels, vision = distilled.test.split.pixels[:64], teacher.vision()
        megabyte = megabytes(parameters(vision))
        work = macs(lambda x: teacher.image(x).pooled, [vision], pixels[:1])
        return {
            "parameters": parameters(vision),
            "size_mb": megabyte,
            "deployed_mb": megabyte,
            "macs": work,
            "deployed_macs": work,
            "latency_ms_batch_1": latency_ms(lambda: teacher.image(pixels[:1]), self.device, repeats=15),
            "latency_ms_batch_64": latency_ms(lambda: teacher.image(pixels), self.device, repeats=5),
        }

    def _shared(self, case: Case) -> tuple[Teacher, Distilled, dict]:
        key = (case.dataset, case.teacher, case.weights, case.train_samples, case.test_samples)
        if key not in self._features:
            self._features.clear()
            with self.progress.task(f"{case.dataset}: {case.teacher} looks at every image once") as advance:
                splits = (
                    data.load(case.dataset, split, count)
                    for split, count in (("train", case.train_samples), ("test", case.test_samples))
                )
                teacher = load_teacher(case.teacher, case.weights).to(self.device)
                distilled = distil(teacher, *splits, self.device, advance)
                row = embed.score_teacher(case, distilled) | self._teacher_cost(teacher, distilled)
                self._features[key] = teacher, distilled, row
        return self._features[key]

    def _device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"


def deployed_path(case: Case, student: Student, teacher: Teacher, distilled: Distilled) -> Callable:
    """Everything that must run to embed images: pixels uint8 ``[B, 3, H, W]`` to embeddings ``[B, E]``."""

    def embed_pixels(pixels: torch.Tensor) -> torch.Tensor:
        if case.reads == "pixels":
            return student.image(pixels)[0]
        said = teacher.image(pixels)
        tokens = said.pooled if case.reads == "pooled" else torch.cat([said.pooled[:, None], said.patches], dim=1)
        return student.image(distilled.image_pca(tokens) if distilled.image_pca else tokens)[0]

    return embed_pixels


def _status_of(error: BaseException) -> str:
    # The CPU's allocator raises a plain RuntimeError.
    full = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    if full or isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "oom"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "skipped" if type(error).__name__ == "Skipped" else "failed"
