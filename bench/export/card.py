"""The model card of an exported student: what it is, what it takes to run, how good it is by which protocol, how to load it."""

from collections.abc import Set

from bench.controls import ROWS, TASK_LOSSES
from bench.export.loaded import Config
from bench.kit.environment import machine
from bench.kit.markdown import count, number, table
from bench.metrics import METRICS, of_group, required
from bench.results.record import Record

TEACHERS = {
    "pocket": "a pocket teacher: small, shipped with distill-bench, a stand-in for its family. Its figures say nothing about "
    "the full-size model",
    "untrained": "a pocket teacher with random weights, a control: it knows nothing of images",
    "pretrained": "the full-size model with its pretrained weights",
    "random": "the full-size architecture with random weights, a control or a trial: it knows nothing of images, and nothing "
    "of them can be learned from it",
}


def text(record: Record, controls: dict[str, dict], config: Config, difference: float | None) -> str:
    """The card in Markdown, after a header in YAML as the Hugging Face hub reads it.

    ``record`` is the case's, ``controls`` the metrics of its trained controls, ``difference`` that of the ONNX graph to
    PyTorch, None where there is no graph.
    """
    parts = [
        f"---\n{_header(record, config)}\n---\n\n# {config.case}", _summary(config), _use(config, difference),
        _running(record, config), _training(record, config), _accuracy(record, controls, config), _origin(record, config),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _header(record: Record, config: Config) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    task = "image-classification" if config.kind == "classification" else "image-text-retrieval"
    results = [
        EvalResult(
            task_type=task, dataset_type=config.dataset["name"], dataset_name=config.dataset["name"], dataset_split="test",
            metric_type=name, metric_name=f"{name} ({METRICS[name].unit})", metric_value=round(record.metrics[name], 4),
        )
        for name in required("accuracy", config.kind)
    ]  # fmt: skip
    source = config.teacher.provenance["source"]
    on_hub = config.teacher.weights == "pretrained" and "/" in source
    of_teacher = _is_distilled(config) or config.reads != "pixels" or config.text_reads
    data = ModelCardData(
        model_name=config.case, library_name="distill-bench", pipeline_tag="image-feature-extraction", license="other",
        tags=["knowledge-distillation"] * _is_distilled(config) + ["image-embeddings", config.student, f"{config.teacher.weights}-teacher"],
        datasets=[config.dataset["name"]], metrics=[*required("accuracy", config.kind)], eval_results=results,
        base_model=source if on_hub and of_teacher else None,
    )  # fmt: skip
    return data.to_yaml()


def _is_distilled(config: Config) -> bool:
    """Whether the loss compares the student with the teacher; the task's own do not."""
    return config.training["loss"] != TASK_LOSSES[config.kind]


def _summary(config: Config) -> str:
    teacher, data = config.teacher.name, config.dataset["name"]
    what = (
        f"A small image{' and caption' if config.text_reads else ''} embedding model, the student *{config.student}*, "
    )
    if _is_distilled(config):
        what += f"distilled from the teacher *{teacher}* on *{data}* by distill-bench. The teacher is "
    else:
        task = "labels" if config.kind == "classification" else "captions"
        opening = "This is a control: it" if config.training["control"] == "no-distillation" else "It"
        what += (
            f"trained on the {task} of *{data}* by distill-bench. **{opening} was trained on the task alone, and nothing was "
            f"distilled into it.** The teacher *{teacher}*, which it stands beside, is "
        )
    what += f"{TEACHERS[config.teacher.weights]}."
    if config.reads != "pixels":
        return what + (
            f"\n\n**This is a head, not a model of its own**: it reads the features of {teacher}, so the teacher has to run for "
            "every image. The files here hold the head alone; loading it loads the teacher as well, and refuses any other."
        )
    what += "\n\n**It stands alone**: it reads pixels, and no teacher is needed to embed an image."
    if config.text_reads:
        what += f" Captions are another matter: its text side is a head on {teacher}'s text features, and needs the teacher."
    return what


def _use(config: Config, difference: float | None) -> str:
    side = config.side if config.reads == "pixels" else 64
    caption = '\ntexts = model.text(["a photo of a dog", "two small red circles"])' if config.text_reads else ""
    commit = config.environment.get("git", {}).get("commit")
    how = (
        "the short side fitted and the middle cut out" if config.crop else "all of the picture squashed into the square"
    )
    pictures = (
        f"Pixels are RGB squares of {config.side}, uint8 or float in [0, 255], {how}."
        if config.reads == "pixels"
        else "Pixels are RGB, uint8 or float in [0, 255], of any size: the teacher resizes them."
    )
    lines = f"""## How to use it

In this folder, with a checkout of distill-bench (commit `{commit}`) on the Python path, as by
`PYTHONPATH=CHECKOUT uv run --project CHECKOUT python`:

```python
import torch
from bench.export import load
model = load(".")
images = model.image(torch.randint(0, 256, (2, 3, {side}, {side}), dtype=torch.uint8)){caption}
```

{pictures} Embeddings have {config.dims.embedding} dimensions and unit length: compare them by their dot product. The student was trained with cosines multiplied by {config.logit_scale:.4g}."""
    return lines + ("" if difference is None else _onnx(config, difference))


def _onnx(config: Config, difference: float) -> str:
    return f"""

`model.onnx` is the image side alone: uint8 `pixels [batch, 3, {config.side}, {config.side}]` to `embeddings [batch, {config.dims.embedding}]`, normalisation
included. On random images its largest difference to PyTorch was {difference:.2g}.

```python
import numpy, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
images = session.run(["embeddings"], {{"pixels": numpy.zeros((2, 3, {config.side}, {config.side}), numpy.uint8)}})[0]
```"""


def _running(record: Record, config: Config) -> str:
    """What it takes to run: each cost of the student alone or, deployed, of all that must run for an image."""
    heading = "## What it takes to run it\n\n"
    if config.training["control"]:
        return (
            f"{heading}This was not measured for a control: it costs what the distilled student of the same name costs."
        )
    rows = [
        [row.title, count(value) if row.digits is None else number(value, row.digits)]
        for row in of_group("cost")
        if (value := record.metrics.get(row.name)) is not None
    ]
    towers = "both towers of the student" if config.text_reads else "the student's image tower"
    teacher = "" if config.reads == "pixels" else f", {config.teacher.name}'s image side included"
    return (
        f"{heading}{table(['', 'value'], rows)}\n\nParameters and MB (parameters × 4 / 2^20) count {towers}, MACs those to "
        f"embed an image. Deployed is all that must run for an image{teacher}; times (medians, warm) and memory are of that, "
        f"memory and images / s in batches of 64, on {machine(record.environment['hardware'])}."
    )


def _training(record: Record, config: Config) -> str:
    case, protocol = config.training, record.protocol
    reduced = config.explained_variance
    precisions = config.environment["hardware"].get("precision", {})
    precision = ", ".join(f"{name} {value}" for name, value in precisions.items()) or "unknown"
    kept = " and ".join(f"{100 * share:.1f} % of the {side} features'" for side, share in reduced.items())
    lines = [
        f"* Data: {config.dataset['name']}, {protocol['train_images']:,} training images. {config.dataset['licence']}.",
        f"* Loss: {case['loss']}. Epochs: {case['epochs']}, in batches of {case['batch_size']}. Seed: {case['seed']}.",
        f"* AdamW, learning rate {case['learning_rate']:g} constant after {case['warmup_steps']} steps of warm-up, weight decay {case['weight_decay']:g}.",
        f"* {_seconds(record, 'epoch_seconds')} an epoch, plus {_seconds(record, 'teacher_pass_seconds')} for the teacher's one pass over the data, "
        f"whose features were stored in {case['features']}; precision: {precision}.",
    ]
    lines += [f"* {note}." for note in record.notes]
    if reduced:
        lines.append(
            f"* The teacher's features are reduced to {config.dims.features} dimensions by a PCA (variance kept: {kept}); it is "
            "part of `model.safetensors`."
        )
    return "## How it was trained\n\n" + "\n".join(lines)


def _seconds(record: Record, metric: str) -> str:
    seconds = record.metrics[metric]
    return "an unknown time" if seconds is None else f"{seconds:.3g} s"


def _accuracy(record: Record, controls: dict[str, dict], config: Config) -> str:
    """Each metric beside the controls', the teacher's own and chance."""
    columns = {"this student": record.metrics} | record.controls | controls
    columns |= {"the teacher itself": record.teacher, "chance": record.protocol.get("chance", {})}
    columns = {title: values for title, values in columns.items() if values}
    names = [row.name for group in ("accuracy", "fidelity") for row in of_group(group, config.kind)]
    rows = [
        [f"{name} ({METRICS[name].unit})"]
        + [number(values.get(name), METRICS[name].digits) for values in columns.values()]
        for name in names
        if name in record.metrics
    ]
    return f"## How good it is\n\n{table(['', *columns], rows)}\n\n{_protocol(record, config, columns.keys())}"


def _protocol(record: Record, config: Config, shown: Set[str]) -> str:
    """How the figures were measured; ``shown`` are the table's columns."""
    facts = record.protocol
    lines = [f"All on {facts['test_images']:,} held-out images of {config.dataset['name']}, one seed."]
    if config.kind == "classification":
        lines.append(
            "knn: k = 20, T = 0.07, votes weighted by exp(cosine / T), the training images as the bank. probe: multinomial "
            "logistic regression on the frozen embeddings."
        )
        meaning = (
            "a batch is matched with itself, so every model that gives different images different embeddings has 100, however "
            "good it is"
        )
    else:
        lines.append(
            f"Recall and mAP@R over the whole gallery with all {facts['test_captions']:,} captions, a hit if any of an image's "
            "captions is in the top k; ties count against the model."
        )
        meaning = "each image with one caption, among the others of the batch"
    lines += [
        f"paper_accuracy: in-batch matching at {facts['in_batch_size']} (chance {facts['in_batch_chance']:.2f} %), {meaning}.",
        f"{', '.join(row.name for row in of_group('fidelity'))} compare the student with its teacher, which is not accuracy.",
    ]
    if controls := [f"{row.name}: {row.shows}" for row in ROWS if row.name in shown]:
        lines.append(f"{'; '.join(controls)}.")
    untaught = [row.name for row in ROWS if row.gain]
    if _is_distilled(config) and shown & {*untaught}:
        names = [name if name in shown else f"{name} (not run)" for name in untaught]
        lines.append(f"Distillation added at most the smallest gain over these controls: {', '.join(names)}.")
    leakage = facts["leakage"]
    seen = "" if leakage["seen"] is None else f"{leakage['seen']} of {leakage['of']}, "
    lines.append(f"Held-out images that the teacher may have seen: {seen}{leakage['basis']}.")
    return "\n".join(f"* {line}" for line in lines)


def _origin(record: Record, config: Config) -> str:
    teacher, git = config.teacher, config.environment.get("git", {})
    known = ", ".join(f"{name} {value}" for name, value in teacher.provenance.items() if value)
    dirty = " with uncommitted changes" if git.get("dirty") else ""
    versions = ", ".join(f"{name} {version}" for name, version in config.environment["software"].items())
    return f"""## Where it comes from

* Case `{config.case}`, fingerprint `{config.fingerprint}`, distill-bench commit `{git.get("commit")}`{dirty}, {record.started}.
* Teacher: {known}; sha256 of its tensors `{teacher.sha256}`.
* Made with {versions}.
* Licence: no licence of its own. The teacher's weights and the training data keep theirs, and bind what was made of them. Data:
  {config.dataset["licence"]}."""
