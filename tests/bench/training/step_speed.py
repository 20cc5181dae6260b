"""Training steps on one CPU core: an epoch beside a hand-written loop, and where the time of a step goes.

python -m tests.bench.training.step_speed                        CPU seconds of an epoch, of all pocket students
python -m tests.bench.training.step_speed --roofline densenet    kinds of operations against what this machine reaches

Both loops train the same student from the same weights on the same batches of made-up features, so that their losses are
equal to rounding. The epochs alternate; medians of CPU seconds (user and system) are compared, which a neighbour on
the machine disturbs less than the time of the clock.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import students
from bench.data.split import Split
from bench.features.columns import Features
from bench.plan import matrix
from bench.training.run import Run
from students import Dims

IMAGES, WIDTH, PATCHES, CLASSES, SCALE = 2048, 96, 16, 12, 14.0
STUDENTS = ("densenet", "resnet", "cbam", "attention", "bottleneck", "projection")
CASES = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}
KINDS = {  # of operations, by the start of PyTorch's names for them
    "convolution, forward": ("convolution", "mkldnn_convolution"),
    "convolution, backward": ("convolution_backward",),
    "batch norm and ReLU, forward": ("native_batch_norm", "clamp_min_", "relu_"),
    "batch norm and ReLU, backward": ("native_batch_norm_backward", "threshold_backward"),
    "concatenation, addition, copies": ("cat", "add", "add_", "copy_", "_to_copy", "clone", "fill_", "zeros", "new_zeros"),
    "optimiser": ("_fused_adamw_",),
}  # fmt: skip
FUSED = 8 / 13  # of the passes over memory, for a batch norm with its ReLU in one kernel forward and one backward
TWICE = (
    "native_batch_norm",
    "native_batch_norm_backward",
)  # read their large inputs twice: for the sums, then for the result


def features() -> Features:
    """Random images and unit-length features in half precision, as the store keeps them."""
    generator = torch.Generator().manual_seed(0)

    def unit(*shape: int) -> Tensor:
        return F.normalize(torch.randn(*shape, generator=generator), dim=-1).half()

    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32), generator=generator, dtype=torch.uint8)
    split = Split(pixels, classes=tuple(map(str, range(CLASSES))), labels=torch.arange(IMAGES) % CLASSES)
    tokens = unit(IMAGES, 1 + PATCHES, WIDTH)
    attention = torch.rand(IMAGES, PATCHES, generator=generator).half()
    arrays = {"tokens": tokens, "pooled": tokens[:, 0], "joint": unit(IMAGES, 64), "attention": attention}
    return Features(split, arrays, SCALE, torch.device("cpu"))


def ours(name: str, folder: str) -> Run:
    case = CASES[f"shapes-dino-{name}-5ep"]
    dims = Dims(WIDTH, case.embedding, case.bottleneck, "pocket")
    return Run(case, students.build(name, dims, case.kind), features(), Path(folder), set())


class Plain:
    """What a person would write: PyTorch alone, logit matching by hand."""

    def __init__(self, run: Run):
        self.case, data = run.case, features()
        dims = Dims(WIDTH, self.case.embedding, self.case.bottleneck, "pocket")
        self.student = students.build(self.case.student, dims, self.case.kind).to(memory_format=torch.channels_last)
        sources = data._sources
        self.inputs, self.teacher = sources[self.case.reads], sources["joint"]
        self.log_scale = torch.nn.Parameter(torch.tensor(1 / 0.07).log())
        parameters = [*self.student.parameters(), self.log_scale]
        decayed, free = ([p for p in parameters if (p.ndim > 1) is many] for many in (True, False))
        groups = [{"params": decayed, "weight_decay": self.case.weight_decay}, {"params": free, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=self.case.learning_rate)

    def epoch(self, number: int) -> float:
        generator = torch.Generator().manual_seed(self.case.seed * 1_000_003 + number)  # the order of our loop
        order = torch.randperm(IMAGES, generator=generator)
        self.student.train()
        total, size = 0.0, self.case.batch_size
        steps = IMAGES // size
        apart = ~torch.eye(size, dtype=torch.bool)
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            inputs, teacher = self.inputs[rows], self.teacher[rows].float()
            images, _ = self.student.image(inputs.float() if inputs.is_floating_point() else inputs)
            guess = (self.log_scale.exp() * images @ images.T)[apart].view(size, size - 1)
            target = (SCALE * teacher @ teacher.T)[apart].view(size, size - 1)
            loss = F.kl_div(guess.log_softmax(1), target.log_softmax(1), reduction="batchmean", log_target=True)
            for group in self.optimiser.param_groups:
                done = (number - 1) * steps + step + 1
                group["lr"] = self.case.learning_rate * min(1.0, done / self.case.warmup_steps)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            total += loss.item()
        return total / steps


def compare(name: str, epochs: int) -> None:
    """Print CPU seconds of an epoch of both loops, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        run = ours(name, folder)
        plain = Plain(run)
        taken: dict[str, list[float]] = {"plain": [], "ours": []}
        apart = 0.0
        for number in range(1, epochs + 1):
            first, by_hand = seconds(partial(plain.epoch, number))
            second, loss = seconds(partial(run._train_epoch, number))
            taken["plain"].append(first)
            taken["ours"].append(second)
            apart = apart if number > 1 else abs(by_hand - loss) / by_hand
    ratio = statistics.median(b / a for a, b in zip(taken["plain"], taken["ours"], strict=True))
    middle = {side: statistics.median(values) for side, values in taken.items()}
    print(f"| {name} | {middle['plain']:.3f} | {middle['ours']:.3f} | {ratio:.3f} | {apart:.0e} |", flush=True)


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of a call, and what it returns."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


class Traffic(TorchDispatchMode):
    """Bytes that operations read and write at least, by name: each tensor passes once, of a batch norm its inputs twice."""

    def __init__(self):
        super().__init__()
        self.bytes: Counter = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        name = operation.overloadpacket.__name__
        if operation.is_view or name in ("empty", "empty_like", "detach"):
            return result
        read = sum(leaf.nbytes for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        written = sum(leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        self.bytes[name] += (2 if name in TWICE else 1) * read + written
        return result


def roofline(name: str) -> None:
    """Print where the time of a step goes, beside the operations and bytes it takes and what the machine reaches."""
    with tempfile.TemporaryDirectory() as folder:
        run = ours(name, folder)
        run._train_epoch(1)
        batches, steps = run._batches(2, run.case.batch_size), IMAGES // run.case.batch_size

        def step(number: int) -> None:
            run._step(run.student, run.criterion, run.optimiser, batches(number))

        whole = statistics.median(seconds(partial(step, number))[0] for number in range(steps))
        with FlopCounterMode(display=False) as flops:
            step(0)
        with Traffic() as traffic:
            step(0)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            for number in range(steps):
                step(number)
    events = profiled.key_averages()
    # The profiler counts by the clock, with what it costs itself and with neighbours' turns: only its shares are used.
    share = 1000 * whole / sum(event.self_cpu_time_total for event in events)
    milliseconds: dict[str, float] = defaultdict(float)
    for event in events:
        milliseconds[event.key.removeprefix("aten::")] += share * event.self_cpu_time_total
    counted = {str(key).removeprefix("aten."): value for key, value in flops.get_flop_counts()["Global"].items()}
    product, copied = peaks()
    print(
        f"{name}: {1000 * whole:.1f} ms a step; a matrix product reaches {product:.0f} GFLOP/s, a copy {copied:.1f} GB/s"
    )
    print("\n| operations | ms | GFLOP | MB | GFLOP/s | GB/s | least ms |\n|---|--:|--:|--:|--:|--:|--:|")
    rest, floor = 1000 * whole, 0.0
    for kind, names in KINDS.items():
        taken = sum(milliseconds[each] for each in names)
        work, moved = (sum(values.get(each, 0) for each in names) / 1e9 for values in (counted, traffic.bytes))
        least = 1000 * max(work / product, moved / copied)
        speed = f"{1000 * work / taken:.0f}" if work else ""
        print(
            f"| {kind} | {taken:.1f} | {work:.2f} | {1000 * moved:.0f} | {speed} | {1000 * moved / taken:.1f} | {least:.1f} |"
        )
        rest -= taken
        floor += taken if "convolution" in kind else least * (FUSED if "batch norm" in kind else 1)
    print(f"| all else: loss, small operations, dispatch | {rest:.1f} | | | | | |")
    print(
        f"\nConvolutions and the last row as they are, each batch norm fused with its ReLU, all of it at its least: "
        f"{floor + rest:.1f} ms, {(floor + rest) / whole / 1000:.2f} of the step"
    )


def peaks() -> tuple[float, float]:
    """GFLOP/s of a matrix product, and GB/s read and written in copying arrays as large as a step's activations."""
    first, other = torch.randn(2, 1024, 1024)
    many, target = torch.randn(8, 2**20), torch.empty(8, 2**20)
    product = min(seconds(lambda: first @ other)[0] for _ in range(20))
    copied = min(seconds(lambda: target.copy_(many))[0] for _ in range(20))
    return 2 * 1024**3 / product / 1e9, 2 * many.nbytes / copied / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--roofline", choices=STUDENTS, help="where the time of this student's step goes")
    parser.add_argument("--epochs", type=int, default=7, help="of each loop; six times as many of a head")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.roofline:
        roofline(options.roofline)
        return
    print("| student | plain loop, CPU s an epoch | ours | ratio | losses differ by |\n|---|--:|--:|--:|--:|")
    for name in STUDENTS:
        compare(name, options.epochs * (1 if name in ("densenet", "resnet") else 6))  # theirs are short


if __name__ == "__main__":
    main()
