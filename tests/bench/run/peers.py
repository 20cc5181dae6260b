"""A folder of images, a ViT-Tiny with random weights, a ResNet-18: what the same distillation takes here and elsewhere.

uv venv PEERS && uv pip install --python PEERS/bin/python lightly-train==0.18.0 torchdistill==1.1.5 timm==1.0.31
python -m tests.bench.run.peers --python PEERS/bin/python

Each side runs in processes of its own, one after another, on as many threads: once with one epoch and once with three. Half of
the difference is an epoch; the rest is what comes once, from the start of Python to the weights on disk. The plain loop and
torchdistill train the same student on the same batches by the same loss, so that their losses are equal. LightlyTrain
augments; distill-bench asks the teacher once, and measures. It gets two fifths more images, since it holds some out: as many
steps. Both of these match similarities to a queue of the teacher's embeddings.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench import data
from bench.kit.paths import ROOT

CLASSES, BATCH, EPOCHS = 4, 32, (1, 3)
TEACHER, STUDENT = "vit_tiny_patch16_224", "resnet18"

SAME = f"""
import sys, timm, torch, torchvision
from torchvision.transforms import v2
torch.manual_seed(0)
teacher = timm.create_model("{TEACHER}", num_classes=0).eval().requires_grad_(False)
student = timm.create_model("{STUDENT}", num_classes=192)
steps = [v2.Resize((224, 224)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
images = torchvision.datasets.ImageFolder(sys.argv[1], v2.Compose(steps))
order = torch.Generator().manual_seed(0)
"""
PLAIN = f"""
sampler = torch.utils.data.RandomSampler(images, generator=order)
loader = torch.utils.data.DataLoader(images, {BATCH}, sampler=sampler, drop_last=True)
optimiser = torch.optim.AdamW(student.parameters(), lr=1e-3)
for epoch in range(int(sys.argv[3])):
    student.train()
    for pixels, _ in loader:
        loss = torch.nn.functional.mse_loss(student(pixels), teacher(pixels))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
print("last loss", loss.item())
torch.save(student.state_dict(), sys.argv[2] + "/student.pt")
"""
TORCHDISTILL = f"""
from torchdistill.core.distillation import get_distillation_box
output = dict(module_path=".", io="output")
both = dict(input=dict(output, is_from_teacher=False), target=dict(output, is_from_teacher=True))
term = dict(
    criterion=dict(key="MSELoss", kwargs={{}}), criterion_wrapper=dict(key="SimpleLossWrapper", kwargs=both), weight=1.0
)
config = dict(
    num_epochs=int(sys.argv[3]), teacher=dict(requires_grad=False, forward_proc="forward_batch_only"),
    student=dict(forward_proc="forward_batch_only"),
    optimizer=dict(key="AdamW", kwargs=dict(lr=1e-3)),
    criterion=dict(key="WeightedSumLoss", kwargs=dict(sub_terms=dict(features=term))),
    train_data_loader=dict(
        dataset_id="train", sampler=dict(class_or_func=torch.utils.data.RandomSampler, kwargs=dict(generator=order)),
        kwargs=dict(batch_size={BATCH}, drop_last=True),
    ),
)
box = get_distillation_box(teacher, student, dict(train=images), config, torch.device("cpu"), None, False, 1)
for epoch in range(box.num_epochs):
    box.pre_epoch_process(epoch=epoch)
    box.teacher_model.eval()
    for pixels, labels, more in box.train_data_loader:
        loss = box.forward_process(pixels, labels, more)
        box.post_forward_process(loss=loss)
    box.post_epoch_process()
print("last loss", loss.item())
torch.save(student.state_dict(), sys.argv[2] + "/student.pt")
"""
LIGHTLY = f"""
import sys, lightly_train
lightly_train.pretrain(
    out=sys.argv[2] + "/out", data=sys.argv[1], model="timm/{STUDENT}", method="distillation",
    method_args=dict(teacher="timm/{TEACHER}"), epochs=int(sys.argv[3]), batch_size={BATCH}, accelerator="cpu",
    num_workers=0,
)
"""
OURS = (
    "-m", "bench", "distill", "--teacher", f"timm:{TEACHER}", "--weights", "random", "--student", f"timm:{STUDENT}",
    "--batch-size", str(BATCH),
)  # fmt: skip


def pictures(folder: Path, count: int) -> None:
    """``count`` drawn shapes, enlarged to 256 pixels, as JPEGs in a folder a class."""
    split = data.load("shapes", "train", count)
    for number, pixels in enumerate(split.pixels):
        to = folder / f"class{number % CLASSES}" / f"{number}.jpg"
        to.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0))).resize((256, 256)).save(to)


def seconds(command: list[str], to: Path) -> tuple[float, str]:
    """What the command takes by the clock, from start to end, and the last loss that it prints. It finds nothing stored."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "DISTILL_BENCH_DATA": str(to / "data")}
    start = time.perf_counter()
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if ran.returncode:
        sys.exit(f"{' '.join(command)[:200]}\n{ran.stdout[-2000:]}{ran.stderr[-3000:]}")
    return taken, "".join(re.findall("^last loss (.*)$", ran.stdout, re.MULTILINE)[-1:])


def commands(python: str, images: Path, to: Path, epochs: int) -> dict[str, list[str]]:
    """What each side runs, by its name in the table."""
    rest = [str(images), str(to), str(epochs)]
    ours = ["--data", str(images), "--epochs", str(epochs), "--to", str(to / "out")]
    return {
        "plain loop": [python, "-c", SAME + PLAIN, *rest],
        "torchdistill": [python, "-c", SAME + TORCHDISTILL, *rest],
        "LightlyTrain": [python, "-c", LIGHTLY, *rest],
        "distill-bench": [sys.executable, *OURS, *ours],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="the interpreter that has the peers")
    parser.add_argument("--images", type=int, default=160, help="to train on")
    parser.add_argument("--only", help="one side")
    options = parser.parse_args()
    print("| | an epoch, s | all else, s | last loss of three epochs |", "|---|--:|--:|--:|", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        images, with_held_out = Path(folder) / "images", Path(folder) / "with_held_out"
        pictures(images, options.images)
        pictures(with_held_out, options.images * 7 // 5)
        for side in commands(options.python, images, images, 1):
            if options.only not in (None, side):
                continue
            taken = {}
            for epochs in EPOCHS:
                to = Path(folder) / side.replace(" ", "-") / str(epochs)
                to.mkdir(parents=True)
                given = with_held_out if side == "distill-bench" else images
                taken[epochs], loss = seconds(commands(options.python, given, to, epochs)[side], to)
            epoch = (taken[3] - taken[1]) / 2
            print(f"| {side} | {epoch:.1f} | {taken[1] - epoch:.1f} | {loss} |", flush=True)


if __name__ == "__main__":
    main()
