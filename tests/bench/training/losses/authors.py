"""Losses beside their authors' code: largest differences of values and gradients on 100 random and awkward inputs.

python -m tests.bench.training.losses.authors kd-sum  .../loss.py                              of winycg/CLIP-KD
python -m tests.bench.training.losses.authors queue-matching .../distillationv3_loss.py        of lightly-ai/lightly-train
python -m tests.bench.training.losses.authors patch-matching .../distillationv2.py             of lightly-ai/lightly-train
python -m tests.bench.training.losses.authors soft-targets .../mdistiller/distillers/KD.py     of megvii-research/mdistiller
python -m tests.bench.training.losses.authors dkd .../mdistiller/distillers/DKD.py             of megvii-research/mdistiller
python -m tests.bench.training.losses.authors phi-s .../examples/common/phi_s.py               of NVlabs/RADIO
python -m tests.bench.training.losses.authors logit-standardisation .../distillers/KD.py       of sunshangquan/logit-standardization-KD

The file is the authors' own, downloaded by hand and kept outside this repository, the second of LightlyTrain where it is
installed; it prints the golden values of the tests too. In float64, so that a difference is one of formulas.
"""

import argparse
import importlib.util
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses import StudentBatch, TeacherBatch, Widths, kd_sum, phi_s, queue_matching
from bench.training.losses.dkd import dkd
from bench.training.losses.logit_standardisation import logit_standardisation
from bench.training.losses.patch_matching import patch_matching
from bench.training.losses.soft_targets import soft_targets
from tests.bench.training.losses.drawn import class_inputs, inputs, map_inputs, regular, regular_classes, regular_map

INPUTS = 100
Pair = tuple[Callable[..., Tensor], Callable[..., Tensor]]  # ours, theirs


def kd_sum_pair(theirs: ModuleType) -> Pair:
    """With equal widths and one factor for both, as ICL's is another in their code (see the docstring of ours)."""
    # Their code for one process reads names that it never sets, and makes its zeros on a GPU: two processes are
    # pretended, of which each gathers just its own.
    theirs.gather_features = lambda images, texts, *_: (images, texts)
    Tensor.cuda = lambda self: self

    def authors(images: Tensor, texts: Tensor, scale: Tensor, *teacher: Tensor) -> Tensor:
        alphas = {f"alpha_{name}_loss": 0.0 for name in ("cross_kd", "gd", "afd")}
        args = SimpleNamespace(
            t_embed_dim=1, s_embed_dim=1, alpha_ckd_loss=1.0, alpha_icl_loss=1.0, alpha_fd_loss=2000.0, **alphas
        )
        loss = theirs.KDClipLoss(args, world_size=2)
        del loss.cross_logit_scale
        loss.cross_logit_scale = scale
        return sum(loss(images, texts, scale, *teacher, 20.0))

    def ours(images: Tensor, texts: Tensor, scale: Tensor, *teacher: Tensor) -> Tensor:
        width = images.shape[1]
        student = StudentBatch(F.normalize(images, dim=1), F.normalize(texts, dim=1), None, scale)
        return kd_sum.Loss(Widths(width, width))(student, TeacherBatch(*teacher, None, 20.0))

    return ours, authors


def queue_matching_pair(theirs: ModuleType) -> Pair:
    """Their queue's update is a method of a module that needs their whole library; it is written out here."""

    def updated(queue: Tensor, batch: Tensor) -> Tensor:
        queue = queue.clone()
        if len(batch) >= len(queue):
            return batch[: len(queue)]
        queue[len(batch) :] = queue[: -len(batch)].clone()
        queue[: len(batch)] = batch
        return queue

    def authors(images: Tensor, texts: Tensor, scale: Tensor, teacher: Tensor, other: Tensor) -> Tensor:
        queue = updated(updated(torch.zeros(queue_matching.SIZE, teacher.shape[1]).to(teacher), other), teacher)
        tokens = torch.ones(1, 1, 1)
        loss = theirs.DistillationV3Loss(0.07, 0.07)
        return loss(teacher, tokens, F.normalize(images, dim=1), tokens, queue)[0]

    def ours(images: Tensor, texts: Tensor, scale: Tensor, teacher: Tensor, other: Tensor) -> Tensor:
        loss = queue_matching.Loss(Widths(images.shape[1], images.shape[1])).to(images)
        with torch.no_grad():
            loss.projector.weight.copy_(torch.eye(images.shape[1]))
        loss(StudentBatch(other, None, None, scale), TeacherBatch(other, None, None, 20.0))
        student = StudentBatch(F.normalize(images, dim=1), None, None, scale)
        return loss(student, TeacherBatch(teacher, None, None, 20.0))

    return ours, authors


def patch_matching_pair(theirs: ModuleType) -> Pair:
    """Of patches alone, with their head of one layer, and without the teacher and the trunk around it."""

    def authors(last_map: Tensor, weight: Tensor, bias: Tensor, teacher: Tensor) -> Tensor:
        head = theirs.DistillationV2Head(weight.shape[1], weight.shape[0], n_layers=1, hidden_dim=0)
        del head.mlp
        head.mlp = partial(F.linear, weight=weight, bias=bias)
        module = SimpleNamespace(student_embedding_model=lambda images, pool: images, student_projection_head=head)
        side = math.isqrt(teacher.shape[1])
        student = theirs.DistillationV2._forward_student(module, last_map, side, side)
        return theirs.DistillationV2Loss()(teacher_features=teacher, student_features=student)

    def ours(last_map: Tensor, weight: Tensor, bias: Tensor, teacher: Tensor) -> Tensor:
        return patch_matching(F.linear(last_map.permute(0, 2, 3, 1), weight, bias), teacher)

    return ours, authors


def phi_s_pair(theirs: ModuleType) -> Pair:
    """Of a width that has a Hadamard matrix, and with eigenvectors of one sign, which they leave to the library."""
    solve = torch.linalg.eigh

    def eigh(covariance: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = solve(covariance)
        return values, vectors * vectors.gather(0, vectors.abs().argmax(dim=0)[None]).sign()

    torch.linalg.eigh = eigh

    def authors(images: Tensor, texts: Tensor, scale: Tensor, teacher: Tensor, other: Tensor) -> Tensor:
        width = images.shape[1] // 4 * 4 or images.shape[1]
        teacher = teacher[:, :width]
        mean, rotation = theirs.get_phi_s_matrix(teacher)
        guess = math.sqrt(width) * F.normalize(images, dim=1)[:, :width]
        return F.mse_loss(guess, (teacher - mean) @ rotation.T)

    def ours(images: Tensor, texts: Tensor, scale: Tensor, teacher: Tensor, other: Tensor) -> Tensor:
        width = images.shape[1] // 4 * 4 or images.shape[1]
        teacher, loss = teacher[:, :width], phi_s.Loss(Widths(width, width))
        loss.fit(teacher)
        with torch.no_grad():
            loss.projector.weight.copy_(torch.eye(width))
        student = StudentBatch(F.normalize(images, dim=1)[:, :width], None, None, scale)
        return loss(student, TeacherBatch(teacher, None, None, 20.0))

    return ours, authors


def classes_pair(ours: Callable[..., Tensor], name: str, **options: object) -> Callable[[ModuleType], Pair]:
    """A loss on class logits, and their class ``name`` with these options of their configuration."""

    def pair(theirs: ModuleType) -> Pair:
        def authors(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
            sides = [lambda image, logits=logits: (logits, None) for logits in (student, teacher)]
            distiller = getattr(theirs, name)(*sides, SimpleNamespace(**options))
            # In their last epoch, when everything has its full weight.
            return sum(distiller.forward_train(None, labels, epoch=240)[1].values())

        return ours, authors

    return pair


class Distiller(nn.Module):
    """What their classes derive from, as far as a loss needs it."""

    def __init__(self, student: Callable, teacher: Callable):
        super().__init__()
        self.student, self.teacher = student, teacher


def kd(temperature: float, labels: float, teacher: float) -> SimpleNamespace:
    return SimpleNamespace(TEMPERATURE=temperature, LOSS=SimpleNamespace(CE_WEIGHT=labels, KD_WEIGHT=teacher))


def evaluated(loss: Callable[..., Tensor], tensors: list[Tensor]) -> tuple[float, list[Tensor]]:
    """The value and the gradients of what the student says (tensors that ask for one); zero where the loss does not use it.

    Without those of zero vectors, which have no direction: PyTorch's are 1e12, and 1e24 where one is normalised twice.
    """
    value = loss(*tensors)
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return value.item(), [slope[leaf != 0] for slope, leaf in zip(gradients, leaves, strict=True)]


PAIRS = {
    "kd-sum": kd_sum_pair,
    "queue-matching": queue_matching_pair,
    "phi-s": phi_s_pair,
    "patch-matching": patch_matching_pair,
    "soft-targets": classes_pair(soft_targets, "KD", KD=kd(4, 0.1, 0.9)),
    "dkd": classes_pair(dkd, "DKD", DKD=SimpleNamespace(CE_WEIGHT=1.0, ALPHA=1.0, BETA=8.0, T=4.0, WARMUP=20)),
    "logit-standardisation": classes_pair(
        logit_standardisation, "KD", KD=kd(2, 0.1, 9), EXPERIMENT=SimpleNamespace(LOGIT_STAND=True)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loss", choices=PAIRS)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    # Theirs derives from a class of the file beside it.
    sys.modules["authors"] = package = ModuleType("authors")
    sys.modules["authors._base"] = base = ModuleType("authors._base")
    package.__path__, base.Distiller = [str(arguments.file.parent)], Distiller
    spec = importlib.util.spec_from_file_location("authors.file", arguments.file)
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    torch.set_default_dtype(torch.float64)
    ours, authors = PAIRS[arguments.loss](theirs)
    embeddings = "kd-sum", "queue-matching", "phi-s"
    draw = (
        map_inputs if arguments.loss == "patch-matching" else inputs if arguments.loss in embeddings else class_inputs
    )
    values, gradients, infinite = [], [], 0
    for number in range(INPUTS):
        tensors = draw(number)
        (value, slopes), (expected, expected_slopes) = (evaluated(loss, tensors) for loss in (ours, authors))
        if not all(torch.tensor(expected).isfinite() & slope.isfinite().all() for slope in expected_slopes):
            assert all(torch.tensor(value).isfinite() & slope.isfinite().all() for slope in slopes)
            infinite += 1
            continue
        values.append(abs(value - expected) / max(1.0, abs(expected)))
        for slope, other in zip(slopes, expected_slopes, strict=True):
            gradients.append(((slope - other).abs().max() / other.abs().max().clamp(min=1.0)).item())
    # Not max(), which a NaN can slip past.
    largest = [torch.tensor(differences).max().item() for differences in (values, gradients)]
    print(
        f"{arguments.loss}: {INPUTS} inputs, largest relative difference {largest[0]:.1e} of values, {largest[1]:.1e} of "
        f"gradients; on {infinite} of them theirs is not finite, and ours is"
    )
    if draw is not inputs:
        value, (slopes, *_) = evaluated(authors, regular_map() if draw is map_inputs else regular_classes())
        print(f"golden: {value!r}, first gradients of the student {slopes[:4].tolist()}")
        return
    images, texts, *teacher = regular(4, 6, 4) if arguments.loss == "phi-s" else regular(4, 5, 3)
    leaves = [leaf.requires_grad_() for leaf in (images, texts, torch.tensor(5.0))]
    value, slopes = evaluated(authors, [*leaves, *teacher])
    print(
        f"golden: {value!r}, images[0] {slopes[0][:3].tolist()}, texts[0] {slopes[1][:3].tolist()}, factor {slopes[2].tolist()}"
    )


if __name__ == "__main__":
    main()
