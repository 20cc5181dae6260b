"""The model card of an exported student: what it is, what it takes to run, how good it is by which protocol, how to load it."""

from collections.abc import Mapping

import yaml

from bench import controls
from bench.export import usage
from bench.export.loaded import Config
from bench.kit.environment import commit, machine
from bench.kit.markdown import number, table
from bench.metrics import HEADLINE, METRICS, of_group, required
from bench.report.protocol import MEASURES, recipe
from bench.results.record import Record

TEACHERS = {
    "pocket": "a pocket teacher: small, a stand-in for its family. Its figures say nothing about the full-size model",
    "untrained": "a pocket teacher with random weights, a control: it knows nothing of images",
    "pretrained": "the full-size model with its pretrained weights",
    "random": "the named architecture with random weights, a control or a trial: it knows nothing of images, and nothing "
    "of them can be learned from it",
}
NOT_STATED = "not stated"
TASKS = {"classification": "labels", "captions": "captions"}
MATCHING = {  # the paper's accuracy, which images alone do not have
    "classification": "a batch is matched with itself, so every model that gives different images different embeddings has 100, "
    "however good it is",
    "captions": "each image with one caption, among the others of the batch",
}


def text(record: Record, trained: dict[str, dict], config: Config, difference: float | None) -> str:
    """The card in Markdown, after a header in YAML as the Hugging Face hub reads it.

    ``trained`` are the metrics of the case's trained controls, ``difference`` that of the ONNX graph to PyTorch, None where
    there is no graph.
    """
    sections = {
        "How to use it": usage.text(config, difference),
        "What it takes to run it": _running(record, config),
        "How it was trained": _training(record, config),
        "How good it is": _accuracy(record, trained, config),
        "Where it comes from": _origin(record, config),
    }
    body = "\n\n".join(f"## {title}\n\n{section}" for title, section in sections.items())
    return f"---\n{_header(record, config)}\n---\n\n# {config.case}\n\n{_summary(config)}\n\n{body}\n"


def _header(record: Record, config: Config) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    tasks = {"classification": "image-classification", "captions": "image-text-retrieval", "images": "image-to-image"}
    task, dataset = tasks[config.kind], config.dataset["name"]
    scores = _scores(config)
    results = [
        EvalResult(
            task_type=task, dataset_type=dataset, dataset_name=dataset, dataset_split="test",
            metric_type=name, metric_name=f"{name} ({METRICS[name].unit})", metric_value=round(record.metrics[name], 4),
        )
        for name in scores
    ]  # fmt: skip
    if config.classifier:
        top1 = EvalResult(
            task_type=task, dataset_type=dataset, dataset_name=dataset, dataset_split="test",
            metric_type="accuracy", metric_name="top-1 of the classifier (%)", metric_value=round(config.classifier.top1, 4),
        )  # fmt: skip
        results.append(top1)
    sources = config.teacher.provenance["source"].split(" + ")  # of several teachers
    on_hub = [source for source in sources if config.teacher.weights == "pretrained" and "/" in source]
    of_teacher = _is_distilled(config) or config.reads != "pixels" or config.text_reads
    licence = "other" if config.teacher.licence and config.dataset["licence"] else "unknown"
    tags = ["image-embeddings", config.student, f"{config.teacher.weights}-teacher"]
    data = ModelCardData(
        model_name=config.case, library_name="timm" if config.student_model else "distill-bench",
        pipeline_tag="image-classification" if config.classifier else "image-feature-extraction", license=licence,
        tags=["knowledge-distillation"] * _is_distilled(config) + tags, datasets=[dataset], metrics=[*scores],
        eval_results=results, base_model=on_hub if on_hub and of_teacher else None,
    )  # fmt: skip
    return data.to_yaml()


def evaluations(record: Record, config: Config) -> str:
    """The accuracies as ``.eval_results/*.yaml``, which the hub shows on a model's page and a data set's leaderboard."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    notes = f"protocol {record.protocol.get('version')} of distill-bench, seed {record.case['seed']}, fingerprint {record.fingerprint}"
    entries = [
        EvalResultEntry(
            dataset_id=f"distill-bench/{config.dataset['name']}", task_id=name, value=round(record.metrics[name], 4),
            date=record.started, notes=notes,
        )
        for name in _scores(config)
    ]  # fmt: skip
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)


def _scores(config: Config) -> tuple[str, ...]:
    """The metrics that say how good it is."""
    return required("accuracy", config.kind) or HEADLINE[config.kind]


def _is_distilled(config: Config) -> bool:
    """Whether the loss compares the student with the teacher; the task's own do not."""
    return config.training["loss"] != controls.TASK_LOSSES.get(config.kind)


def _summary(config: Config) -> str:
    teacher, data = config.teacher.name, config.dataset["name"]
    model = f"A small image{' and caption' * bool(config.text_reads)} embedding model, the student *{config.student}*,"
    if _is_distilled(config):
        origin = f"distilled from the teacher *{teacher}* on *{data}* by distill-bench. The teacher is"
    else:
        opening = "This is a control: it" if config.training["control"] == "no-distillation" else "It"
        origin = (
            f"trained on the {TASKS[config.kind]} of *{data}* by distill-bench. **{opening} was trained on the task alone, and "
            f"nothing was distilled into it.** The teacher *{teacher}*, which it stands beside, is"
        )
    if config.reads != "pixels":
        needs = (
            f"**This is a head, not a model of its own**: it reads the features of {teacher}, so the teacher has to run for "
            "every image. The files here hold the head alone; loading it loads the teacher as well, and refuses any other."
        )
    else:
        needs = "**It stands alone**: it reads pixels, and no teacher is needed to embed an image."
        if config.text_reads:
            needs += f" Captions need one: its text side is a head on {teacher}'s text features."
    return f"{model} {origin} {TEACHERS[config.teacher.weights]}.\n\n{needs}"


def _running(record: Record, config: Config) -> str:
    if config.training["control"]:
        return "This was not measured for a control: it costs what the distilled student of the same name costs."
    towers = "both towers of the student" if config.text_reads else "the student"
    teacher = "" if config.reads == "pixels" else f", {config.teacher.name}'s image side included"
    hardware = config.environment["hardware"]
    load, threads = hardware.get("load_average"), hardware.get("threads")
    busy = load is not None and threads is not None and load > 1 + threads
    note = f", measured with a load average of {load:.1f} on {hardware['cores']} cores" if busy else ""
    return (
        f"{_table({'this student': record.metrics}, config, 'cost')}\n\nparameters and size_mb count {towers}, macs "
        f"its image tower; the rest is of all that must run to embed images{teacher}, one or 64 at a time. Times are medians, warm, on "
        f"{machine(hardware)}{note}."
    )


def _table(columns: dict[str, Mapping[str, float | None]], config: Config, *groups: str) -> str:
    """The metrics of the groups, a line each: those that the first column has."""
    first, *_ = columns.values()
    lines = [
        [f"{row.name} ({row.unit})", *(number(values.get(row.name), row.digits) for values in columns.values())]
        for group in groups
        for row in of_group(group, config.kind)
        if row.name in first
    ]
    return table(["", *columns], lines)


def _training(record: Record, config: Config) -> str:
    case, variances = config.training, config.explained_variance.items()
    precision = ", ".join(f"{name} {value}" for name, value in config.environment["hardware"]["precision"].items())
    lines = [
        f"Data: {config.dataset['name']}, {record.protocol['train_images']:,} training images. Licence: {config.dataset['licence'] or NOT_STATED}.",
        f"Loss: {case['loss']}. Epochs: {case['epochs']}, in batches of {case['batch_size']}. Seed: {case['seed']}.",
        f"AdamW, learning rate {case['learning_rate']:g} after {case['warmup_steps']} steps of warm-up, {'; '.join(recipe(case)) or 'constant'}; weight decay {case['weight_decay']:g}.",
        f"{_seconds(record, 'epoch_seconds')} an epoch, plus {_seconds(record, 'teacher_pass_seconds')} for the teacher's one pass over the data, "
        f"whose features were stored in {case['features']}; precision: {precision}.",
        *(f"{note}." for note in record.notes),
    ]
    if variances:
        kept = " and ".join(f"{100 * share:.1f} % of the {side} features'" for side, share in variances)
        lines.append(
            f"The teacher's features are reduced to {config.dims.features} dimensions by a PCA (variance kept: {kept}); it is "
            "part of `model.safetensors`."
        )
    return _listed(lines)


def _seconds(record: Record, metric: str) -> str:
    seconds = record.metrics[metric]
    return "an unknown time" if seconds is None else f"{seconds:.3g} s"


def _listed(lines: list[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _accuracy(record: Record, trained: dict[str, dict], config: Config) -> str:
    """Each metric beside the controls', the teacher's own and chance, and how they were measured."""
    columns = {"this student": record.metrics} | record.controls | trained
    columns |= {"the teacher itself": record.teacher, "chance": record.protocol["chance"]}
    columns = {title: values for title, values in columns.items() if values}
    classified = _classified(record, config)
    return f"{_table(columns, config, 'accuracy', 'fidelity')}\n\n{_protocol(record, config, columns)}{classified}"


def _classified(record: Record, config: Config) -> str:
    """What the classifiers of the export reach, a line each."""
    lines = []
    if made := config.classifier:
        probe = number(record.metrics.get("probe_top1"), 1)
        lines.append(
            f"`classifier.safetensors` is linear on the embeddings, fitted as the probe on the training images as they are "
            f"embedded here: top-1 {made.top1:.1f} % of the test images (the record's probe: {probe} %)."
        )
    if made := config.timm_classifier:
        lines.append(
            f"`timm/` has a classifier that is linear on the trunk's pooled features, fitted likewise: top-1 {made.top1:.1f} %."
        )
    return f"\n{_listed(lines)}" if lines else ""


def _protocol(record: Record, config: Config, columns: Mapping[str, Mapping[str, float]]) -> str:
    """How the figures were measured; ``columns`` are the table's."""
    facts = record.protocol
    captions = f" with {facts['test_captions']:,} captions" if config.kind == "captions" else ""
    lines = [
        f"All on {facts['test_images']:,} held-out images of {config.dataset['name']}{captions}, one seed.",
        MEASURES[config.kind],
    ]
    if matching := MATCHING.get(config.kind):
        chance = f"chance {facts['in_batch_chance']:.2f} %"
        lines.append(f"paper_accuracy: in-batch matching at {facts['in_batch_size']} ({chance}), {matching}.")
    lines.append(
        f"{', '.join(row.name for row in of_group('fidelity', config.kind))} compare the student with its teacher, which is not "
        "accuracy."
    )
    if meanings := [f"{row.name}: {row.shows}" for row in controls.ROWS if row.name in columns]:
        lines.append(f"{'; '.join(meanings)}.")
    # Those that never saw a trained teacher.
    if _is_distilled(config) and columns.keys() & {*controls.GAINS}:
        gains = [name for name in controls.GAINS if config.kind in controls.CONTROLS[name].kinds]
        names = [name if name in columns else f"{name} (not run)" for name in gains]
        own, *others = (
            sum(columns[name][metric] for metric in HEADLINE[config.kind])
            for name in ("this student", *gains)
            if name in columns
        )
        added = "at most the smallest gain over" if own > max(others) else "nothing to the best of"
        lines.append(f"Distillation added {added} these controls: {', '.join(names)}.")
    leakage = facts["leakage"]
    seen = "" if leakage["seen"] is None else f"{leakage['seen']} of {leakage['of']}, "
    lines.append(f"Held-out images that the teacher may have seen: {seen}{leakage['basis']}.")
    return _listed(lines)


def _origin(record: Record, config: Config) -> str:
    software = config.environment["software"]
    provenance = ", ".join(f"{name} {value}" for name, value in config.teacher.provenance.items() if value)
    started = ""
    if (model := config.training.get("student_model")) and model["pretrained"]:
        licence = config.student_licence or NOT_STATED
        started = f" The student started from timm's weights of {model['name']}: {licence}."
    lines = [
        f"Case `{config.case}`, fingerprint `{config.fingerprint}`, distill-bench, {record.started}, at {commit(config.environment)}.",
        f"Teacher: {provenance}; sha256 of its tensors `{config.teacher.sha256}`.",
        f"Made with {', '.join(f'{name} {version}' for name, version in software.items())}.",
        "No licence of its own: those of the teacher's weights and of the training data bind what was made of them. "
        f"Teacher's weights: {config.teacher.licence or NOT_STATED}. Data: {config.dataset['licence'] or NOT_STATED}.{started}",
    ]
    return _listed(lines)
