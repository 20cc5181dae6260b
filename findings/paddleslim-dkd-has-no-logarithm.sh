#!/usr/bin/env bash
# paddleslim==2.6.0 (paddlepaddle 2.6.2)
# Guess: dkd(...) is the loss of decoupled distillation that it names: two Kullback-Leibler divergences, which are 0 where the student has its
#   teacher's logits, and lowest there.
# Behaviour: It gives probabilities to kl_div, which wants their logarithms. What is left is a sum of products of the two's probabilities: lowest
#   where the student is certain of its teacher's first class, and of its second among the others. It is also a mean over images and classes.
#   No documentation or issue on it was found.
# Seen (10 classes, temperature 4; students of 600 steps with each loss alone: 1,000 new samples with the teacher's class, the divergence of
#   the student's softened probabilities from the teacher's, and the mean probability of the student's first class, which is 0.51 for the
#   teacher; the loss of the teacher's own logits):
#   dkd:           59.5%, 1.27, 0.76; -12.49
#   written out:   75.2%, 0.10, 0.45; 0.00
# Why it matters: The student learns its teacher's first two classes as if they were labels, and little of what distillation is for, while its
#   loss falls as it should. Write the loss out: paddle's kl_div takes what log_softmax returns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q --python 3.11 venv
uv pip install -q --python venv/bin/python "setuptools<81" pip six tqdm scipy requests decorator "numpy<2" "matplotlib<3.10" \
    opencv-python-headless==4.10.0.84 paddlepaddle==2.6.2 paddleslim==2.6.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON' | grep -v "^mask\|^student_logits"
import numpy as np
import paddle
from paddleslim.dist import dkd

paddle.enable_static()
random = np.random.default_rng(0)
T = 4.0
hidden, head = random.normal(size=(32, 64)) / 4, random.normal(size=(64, 10))


def teacher(samples):
    return (np.maximum(samples @ hidden, 0) @ head).astype("float32")


def softmax(logits):
    parts = np.exp((logits - logits.max(axis=1, keepdims=True)) / T)
    return parts / parts.sum(axis=1, keepdims=True)


def written_out(student, teacher):
    """The target's and the others' divergence with weights of 1, as a mean over images, times the squared temperature."""
    target = paddle.nn.functional.one_hot(teacher.argmax(axis=1), 10)
    parts = []
    for logits in (student, teacher):
        of_target = (paddle.nn.functional.softmax(logits / T) * target).sum(axis=1, keepdim=True)
        pair = paddle.concat([of_target, 1 - of_target], axis=1).clip(min=1e-7).log()
        parts.append((pair, paddle.nn.functional.log_softmax(logits / T - 1000 * target)))
    loss = 0
    for one, two in zip(*parts):
        loss += (two.exp() * (two - one)).sum(axis=1).mean()
    return loss * T**2


def judge(title, loss_of):
    random = np.random.default_rng(1)
    paddle.seed(0)
    main, start = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, start):
        samples = paddle.static.data("samples", [None, 32], "float32")
        wanted = paddle.static.data("wanted", [None, 10], "float32")
        logits = paddle.static.nn.fc(paddle.static.nn.fc(samples, 64, activation="relu"), 10)
        tests = main.clone(for_test=True)
        loss = loss_of(main, logits, wanted)
        paddle.optimizer.Adam(0.003).minimize(loss)
    executor = paddle.static.Executor(paddle.CPUPlace())
    executor.run(start)
    for _ in range(600):
        batch = random.normal(size=(128, 32)).astype("float32")
        executor.run(main, feed={"samples": batch, "wanted": teacher(batch)}, fetch_list=[])
    fresh = random.normal(size=(1000, 32)).astype("float32")
    wanted = teacher(fresh)
    found = executor.run(tests, feed={"samples": fresh, "wanted": wanted}, fetch_list=[logits.name])[0]
    one, two = softmax(found), softmax(wanted)
    same = (one.argmax(axis=1) == two.argmax(axis=1)).mean()
    divergence = (two * (np.log(two) - np.log(one))).sum(axis=1).mean()
    own = own_loss(loss_of, wanted)
    print(f"{title + ':':14} {same:.1%}, {divergence:.2f}, {one.max(axis=1).mean():.2f}; {own:.2f}")
    return same, divergence, one.max(axis=1).mean(), two.max(axis=1).mean(), own


def own_loss(loss_of, logits):
    """The loss of a student that has its teacher's logits."""
    main = paddle.static.Program()
    with paddle.static.program_guard(main, paddle.static.Program()):
        student, teacher = (paddle.static.data(name, [None, 10], "float32") for name in ("student", "teacher"))
        loss = loss_of(main, student, teacher)
    feed = {"student": logits, "teacher": logits}
    return float(paddle.static.Executor(paddle.CPUPlace()).run(main, feed=feed, fetch_list=[loss])[0])


library = judge("dkd", lambda main, student, wanted: dkd(wanted.name, student.name, main, T))
written = judge("written out", lambda main, student, wanted: written_out(student, wanted))
assert library[0] < written[0] - 0.05 and library[1] > 5 * written[1]
assert library[2] > library[3] + 0.2 and abs(written[2] - written[3]) < 0.08
assert library[4] < -5 and abs(written[4]) < 0.001
PYTHON
