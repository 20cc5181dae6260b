"""One straight training loop over stored features, with a checkpoint after each epoch.

Cases that differ only in epochs share a run: the longer one continues from the shorter one's checkpoint, as the
paper did. Therefore the learning rate does not depend on the total: it is constant after a short warm-up. With a cosine
schedule (Loshchilov and Hutter, 1608.03983) it does, and each length has a run of its own.
Everything random in an epoch follows from (seed, epoch), so a run that was killed ends with the same weights, on a CPU
to the bit.
"""

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.features.columns import Batch, Features, Rows, drawn_captions, in_order
from bench.features.device import machine
from bench.kit.errors import UserError
from bench.measure.class_logits import ClassLogits
from bench.measure.timing import synchronise
from bench.plan.case import Case
from bench.training import checkpoint, clock
from bench.training.losses import Criterion, TeacherBatch, Widths
from students import Student

FEW = 4  # images of a step that warms up a CPU


class NotFiniteError(RuntimeError):
    """The loss or a weight is not a finite number; the message says where."""


class Run:
    """A training run: :meth:`epoch` trains one epoch, :meth:`save` keeps it, until :attr:`finished`.

    ``history`` has one entry per epoch: epoch, loss, epoch_seconds (training only, device synchronised) and the metrics
    given to :meth:`save`; its first entry, epoch 0, is the untrained student. ``notes`` are lines for the user, such as a
    damaged checkpoint that was passed over. With ``mixed`` the student's forward pass runs in bfloat16; its weights, the
    loss and the optimiser stay in float32. ``class_logits`` are the teacher's, where the loss compares them. ``resident``
    says whether all that a step reads lies on the device; else it is streamed from disk.
    """

    def __init__(
        self, case: Case, student: Student, features: Features, folder: Path, keep: set[int], mixed: bool = False,
        class_logits: ClassLogits | None = None,
    ):  # fmt: skip
        self.case, self.student = case, student
        self.features, self.class_logits = features, class_logits
        # Class logits follow from the embeddings, of whatever view.
        self.targets = tuple("joint" if name == "logits" else name for name in case.targets)
        self.folder, self.keep, self.mixed = folder, keep | {case.epochs}, mixed
        self.device = features.device
        # Convolutions run fastest on channels-last weights and images, on tensor cores and on the CPU alike.
        self.student.to(self.device, memory_format=torch.channels_last)
        self.has_map = "tokens" in case.targets
        of_maps = (student.image_tower.trunk.num_features, features.width) if self.has_map else ()
        widths = Widths(case.embedding, features.joint_width, len(features.split.classes), *of_maps)
        self.criterion = Criterion(case.loss, widths, case.seed).to(self.device)
        if hasattr(self.criterion.loss, "fit"):
            self.criterion.loss.fit(features.joint)
        self._average = case.ema and AveragedModel(
            student, multi_avg_fn=get_ema_multi_avg_fn(case.ema), use_buffers=True
        )
        groups = _groups(student, self.criterion, case.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=case.learning_rate, fused=True)
        self.history: list[dict] = []
        self.notes: list[str] = []
        self._restored: list[dict] = []
        self._machines: list[str] = []  # that trained each epoch
        # What a step reads is brought to the device here, as far as it fits, and what other students read goes.
        self.features.only(*self._columns())
        self.resident = self.features.resident(*self._columns())
        torch.manual_seed(case.seed)
        self._restore()
        self.history.append(self._restored.pop(0) if self._restored else {"epoch": 0})
        if len(self._restored) < case.epochs:
            self._warm_up()

    @property
    def result(self) -> Student:
        """The student to evaluate: its weights averaged over the steps, where the case says so."""
        return self._average.module if self._average else self.student

    @property
    def epochs_done(self) -> int:
        return self.history[-1]["epoch"]

    @property
    def finished(self) -> bool:
        return self.epochs_done >= self.case.epochs

    @property
    def scale(self) -> float:
        """The factor on the student's cosines, as it is now."""
        return self.criterion.log_scale.exp().item()

    def epoch_seconds(self) -> tuple[float, str]:
        """Mean seconds of the epochs trained on this machine, or where none was, on the last one; and that machine.

        A run that a checkpoint brought from another machine never averages over both.
        """
        machines, here = self._machines[: self.epochs_done], machine(self.device)
        chosen = here if here in machines else machines[-1]
        seconds = [
            entry["epoch_seconds"] for one, entry in zip(machines, self.history[1:], strict=True) if one == chosen
        ]
        return sum(seconds) / len(seconds), chosen

    def epoch(self) -> bool:
        """Train one epoch, or count one that a checkpoint holds; nothing once finished. Returns whether it trained.

        Only the training itself advances the training clock.
        """
        if self.finished:
            return False
        if self._restored:
            entry = self._restored.pop(0)
            clock.advance(entry["epoch_seconds"])
            self.history.append(entry)
            return False
        number, start = self.epochs_done + 1, time.perf_counter()
        loss = self._train_epoch(number)
        seconds = time.perf_counter() - start
        clock.advance(seconds)
        self._machines.append(machine(self.device))
        self.history.append({"epoch": number, "loss": loss, "epoch_seconds": seconds})
        return True

    def save(self, metrics: dict[str, float]) -> None:
        """Keep the last epoch with its ``metrics``; older checkpoints go, but for one spare and those that a shorter case
        ends with."""
        self.history[-1] |= metrics
        facts = {
            "epoch": self.epochs_done, "step": self.epochs_done * self._steps(), "history": self.history,
            "machines": self._machines, "run": self.case.run_fingerprint,
        }  # fmt: skip
        checkpoint.save(self._path(self.epochs_done), self._modules(), self.optimiser, facts)
        for epoch in range(1, self.epochs_done - 1):
            if epoch not in self.keep:
                self._path(epoch).unlink(missing_ok=True)

    def _train_epoch(self, epoch: int) -> float:
        """One pass over the training split; returns the mean loss. Nothing in the loop waits for the device."""
        self.student.train()
        steps = self._steps()
        total = torch.zeros((), device=self.device)
        fetch = self._batches(epoch, self.case.batch_size)
        for step, batch in enumerate(in_order(range(steps), fetch, self.device, self.resident)):
            self._set_rate((epoch - 1) * steps + step)
            total += self._step(self.student, self.criterion, self.optimiser, batch)
            if self._average:
                self._average.update_parameters(self.student)
        synchronise(self.device)
        mean = (total / steps).item()
        if not math.isfinite(mean):
            raise NotFiniteError(f"{self.case.run}: the loss is {mean} in epoch {epoch}")
        self._check_finite(epoch)
        return mean

    def _batches(self, epoch: int, size: int) -> Callable[[int], Batch]:
        """What fetches the batch of a step, of ``size`` images, in an order that follows from seed and epoch."""
        generator = torch.Generator().manual_seed(self.case.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.features), generator=generator)
        images, captions = self.features.rows(order, epoch), None
        if self.case.kind == "captions":
            drawn = drawn_captions(self.features.split.owner, torch.arange(len(order)), generator)
            captions = Rows(drawn[order], self.device)

        def fetch(step: int) -> Batch:
            part = slice(step * size, (step + 1) * size)
            texts = captions and captions[part]
            return self.features.batch(images[part], texts, self.case.reads, self.case.text_reads, self.targets)

        return fetch

    def _step(self, student: Student, criterion: Criterion, optimiser: torch.optim.Optimizer, batch: Batch) -> Tensor:
        """One step of training; returns the batch's loss."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            if self.has_map:
                (images, last_map), attention = student.image_and_map(batch.inputs), None
            else:
                (images, attention), last_map = student.image(batch.inputs), None
            texts = student.text(*batch.text_inputs) if batch.text_inputs else None
        logits = self.class_logits and self.class_logits(batch.joint)
        teacher = TeacherBatch(
            batch.joint, batch.text_joint, batch.attention, self.features.scale, batch.labels, logits, batch.tokens
        )
        outputs = images, texts, attention, last_map
        images, texts, attention, last_map = (output if output is None else output.float() for output in outputs)
        loss = criterion(images, texts, attention, teacher, last_map)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        criterion.clamp()
        return loss.detach()

    def _warm_up(self) -> None:
        """Make a step with copies of all that it changes: kernels are loaded and chosen before an epoch's clock starts.

        CUDA chooses them by the size of a batch. A CPU only loads them, and a few images do. Raises :class:`UserError` where
        the step could train nothing of the student.
        """
        devices, size = ([self.device], self.case.batch_size) if self.device.type == "cuda" else ([], FEW)
        with torch.random.fork_rng(devices):
            copies = copy.deepcopy((self.student.train(), self.criterion, self.optimiser))
            self._step(*copies, self._batches(1, min(size, self.case.batch_size))(0))
        if all(parameter.grad is None for parameter in copies[0].parameters()):
            raise UserError(
                f"{self.case.run}: no weight of student '{self.case.student}' gets a gradient: its output is detached from "
                f"them, or loss '{self.case.loss}' does not read it"
            )
        synchronise(self.device)

    def _check_finite(self, epoch: int) -> None:
        """Look at parameters and at what batch norms have gathered. Raises :class:`NotFiniteError` naming the first."""
        state = self.student.state_dict() | self.criterion.state_dict()
        finite = torch.stack([values.isfinite().all() for values in state.values()]).tolist()  # waits once
        if not all(finite):
            raise NotFiniteError(
                f"{self.case.run}: {list(state)[finite.index(False)]} is not finite after epoch {epoch}"
            )

    def _columns(self) -> list[str]:
        """The arrays that a training step reads."""
        columns = [self.case.reads, *self.targets]
        if self.case.kind == "captions":
            columns += [f"text_{self.case.text_reads}", *(["text_joint"] if "joint" in columns else [])]
        return columns

    def _steps(self) -> int:
        """Steps of an epoch. The last batch is dropped where it is smaller: in-batch losses depend on the size."""
        return len(self.features) // self.case.batch_size

    def _set_rate(self, step: int) -> None:
        warmup = self.case.warmup_steps
        rate = self.case.learning_rate * min(1.0, (step + 1) / max(1, warmup))
        if self.case.schedule == "cosine" and step >= warmup:
            rate *= (1 + math.cos(math.pi * (step - warmup) / (self.case.epochs * self._steps() - warmup))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _modules(self) -> dict[str, torch.nn.Module]:
        """What a checkpoint holds, by name: ``student`` is the one that is evaluated, ``online`` the one behind an average."""
        online = {"online": self.student} if self._average else {}
        return {"student": self.result, "criterion": self.criterion} | online

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.safetensors"

    def _restore(self) -> None:
        """Continue from the newest usable checkpoint of this run that is not beyond this case."""
        self.folder.mkdir(parents=True, exist_ok=True)
        usable = checkpoint.usable(self.folder)
        for epoch in sorted(usable.keys() & {*range(1, self.case.epochs + 1)}, reverse=True):
            path = usable[epoch]
            try:
                tensors, facts = checkpoint.read(path)
                if facts["run"] == self.case.run_fingerprint:
                    checkpoint.restore(tensors, self._modules(), self.optimiser)
                    if self._average:
                        self._average.n_averaged.fill_(facts["step"])
                    self._restored, self._machines = facts["history"], facts["machines"]
                    return
            except checkpoint.CheckpointError as error:
                self.notes.append(str(error))
            # Damaged, or of another configuration that had the same name.
            path.unlink(missing_ok=True)


def _groups(student: Student, criterion: Criterion, decay: float) -> list[dict]:
    """Weight decay for matrices and kernels, the criterion's too; none for biases, norms and the logit scale."""
    parameters = [p for p in [*student.parameters(), *criterion.parameters()] if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
