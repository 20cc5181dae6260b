#!/usr/bin/env bash
# nvidia-modelopt==0.47.0 (torch 2.15.0)
# Guess: mtd.LogitsDistillationLoss() is the loss of Hinton et al., as its docstring says: its gradient is of the same order as that of the
#   labels' cross entropy, on which the default weights of StaticLossBalancer, a half each, rely.
# Behaviour: The default reduction is "mean", which in PyTorch's kl_div divides by the images times the classes. With 100 classes the
#   teacher's part is a hundredth of what it should be, with 1,000 a thousandth, while the cross entropy beside it is divided by the images
#   alone. MFTLoss of the same file has "batchmean". PyTorch's own warning of "mean" is all that is said; no issue of modelopt was found.
# Seen (one batch of 64 images, temperature 4; the gradient's norm by the student's logits, that of the cross entropy as 1; then a linear
#   student of 100 classes, taught on 300 images whose labels are wrong for two of five, by a teacher that is right):
#     10 classes, gradient of the teacher's part: 0.1302; batchmean: 1.30
#    100 classes, gradient of the teacher's part: 0.0049; batchmean: 0.49
#   1000 classes, gradient of the teacher's part: 0.0002; batchmean: 0.17
#   accuracy without a teacher: 0.038; default: 0.082; batchmean: 0.393
# Why it matters: Distillation seems to do nothing, and the student is no better than one without a teacher, whatever weight between 0 and 1
#   is tried. The more classes, the worse, so CIFAR-10 seems to gain from a teacher and ImageNet not. Pass reduction="batchmean".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 numpy==2.4.6 nvidia-modelopt==0.47.0 requests==2.34.2 huggingface_hub==2.4.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import modelopt.torch.distill as mtd
import torch
from torch import nn
from torch.nn.functional import cross_entropy


def quotient(classes, **settings):
    torch.manual_seed(0)
    logits, teacher = torch.randn(64, classes, requires_grad=True), 4 * torch.randn(64, classes)
    loss = mtd.LogitsDistillationLoss(temperature=4.0, **settings)(logits, teacher)
    taught, labelled = (torch.autograd.grad(value, logits)[0].norm() for value in (loss, cross_entropy(logits, teacher.argmax(dim=1))))
    return (taught / labelled).item()


class Linear(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        return self.head(images)


torch.manual_seed(0)
width, classes, size = 64, 100, 300
teacher = Linear(width, classes)
teacher.head.weight.data.normal_()
teacher.head.bias.data.zero_()
images, held_out = torch.randn(size, width), torch.randn(2000, width)
with torch.no_grad():
    truth, answers = teacher(images).argmax(dim=1), teacher(held_out).argmax(dim=1)
labels = torch.where(torch.rand(size) < 0.4, torch.randint(classes, (size,)), truth)


def train(loss):
    torch.manual_seed(1)
    student = Linear(width, classes)
    if loss:
        settings = {"teacher_model": teacher, "criterion": {("head", "head"): loss}, "loss_balancer": mtd.StaticLossBalancer()}
        student = mtd.convert(student, mode=[("kd_loss", settings)])
    optimizer = torch.optim.AdamW(student.parameters(), 1e-2, weight_decay=0.1)
    student.train()
    for _ in range(300):
        value = cross_entropy(student(images), labels)
        value = student.compute_kd_loss(student_loss=value) if loss else value
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        student.eval()
        return (student(held_out).argmax(dim=1) == answers).float().mean().item()


norms = {}
for count in (10, 100, 1000):
    norms[count] = quotient(count), quotient(count, reduction="batchmean")
    print(f"{count:4} classes, gradient of the teacher's part: {norms[count][0]:.4f}; batchmean: {norms[count][1]:.2f}")
alone, default = train(None), train(mtd.LogitsDistillationLoss(4.0))
right = train(mtd.LogitsDistillationLoss(4.0, reduction="batchmean"))
print(f"accuracy without a teacher: {alone:.3f}; default: {default:.3f}; batchmean: {right:.3f}")
assert all(0.9 < count * default / batch < 1.1 for count, (default, batch) in norms.items())
assert abs(default - alone) < 0.05 and right > default + 0.1
PYTHON
