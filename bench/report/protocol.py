"""How the figures of a report were measured: its last section."""

from collections import Counter

from bench import registry
from bench.controls import ROWS
from bench.kit.environment import commit, machine
from bench.kit.markdown import folded, literal, number
from bench.plan.case import Case
from bench.report.content import Chosen, Report
from bench.results.record import Record

SUBSTITUTE = "the squared activations of its last map, summed over channels"
SEVERAL = (
    "features of several teachers side by side, each balanced by PHI-S on the training images to the same variance in all "
    "dimensions and in all teachers; the teacher's own row is of that joint embedding"
)
MEASURES = {  # how the accuracy of each kind of data is measured, in a report and on a model's card
    "classification": "k-NN: k = 20, T = 0.07, votes weighted by exp(cosine / T), the bank is the whole training split, the "
    "queries are the whole evaluation split. Linear probe: multinomial logistic regression on the frozen embeddings, L2 chosen "
    "on a fifth of the training split, which students that were trained on labels have seen with its labels.",
    "captions": "Recall and mAP@R: the whole gallery of evaluation images and all their captions; a hit if any of an image's "
    "captions is in the top k. Ties count against the model.",
    "images": "Images alone have no accuracy. Teacher's nearest: of how many evaluation images the training image that is "
    "nearest by the teacher is the student's nearest (R@1), or among its 10 nearest (R@10); training images with the same "
    "bytes are one, ties count against the student.",
}
ALONE = (
    f"* {MEASURES['images']} There is no control without distillation, as there is no task, and none of a random teacher, "
    "whose neighbours are others.\n"
)


def section(report: Report) -> str:
    """The protocol of each measure, with this report's own sizes, precisions and chances."""
    cases, done = [case for case, _ in report.cases], report.done
    batches = sorted({case.batch_size for case in cases})
    chances = " or ".join(f"{batch} (chance {100 / batch:.2f} %)" for batch in batches)
    controls = "; ".join(f"*{row.name.replace('-', ' ')}* is {row.shows}" for row in ROWS if not row.always)
    alone = any(case.kind == "images" for case in cases)
    text = f"""* {MEASURES["classification"]}{_probes(done)}
* {MEASURES["captions"]}
* Zero-shot: images of one clear concept, classified by prompts through the text tower.{_zero_shot(done)}
{ALONE if alone else ""}* Fidelity compares student and teacher on the evaluation split: shared neighbours of the nearest 10, linear CKA of the image embeddings, agreement of the predicted class (k-NN) or of the nearest caption and image, KL of the softmaxed similarities at each model's own temperature. Fidelity is not accuracy.
* Controls: {controls}. They are not at chance: an untrained projection of good features keeps most of their k-NN, and a random network, the same for every seed, sees colour. A student's merit is its gain over them.
* {_shuffled(done)}
* The paper's accuracy: in-batch matching, computed exactly from the ranks for B = {chances}.
* MACs are multiply-accumulates to embed one image, counted with fvcore; FLOPs are about twice that. Deployed is everything that must run for it; memory is weights and activations at batch 64.
* Epoch seconds: training only, after a step that warms up; evaluation, checkpoints and the teacher's pass are outside. Latency: median of the deployed path, warm; images per second at batch 64.
* Features were stored in {" and ".join(sorted({case.features for case in cases}))}; students trained in {_precisions(done)}{_places(done)}
{_recipes(cases)}{_class_logits(done)}* {_seeds(len({case.seed for case in cases}))}{_pictures(done)}{_reductions(done)}{_machines(report)}"""
    return f"## Protocol\n\n{folded('How everything was measured', text)}"


def seen(transform: dict) -> str:
    """What part of a picture a teacher with this ``transform`` sees, and at which size."""
    size, short_side = transform["size"], transform["short_side"]
    if squash := transform.get("squash"):
        part = f"all of it squashed to {squash} px and the middle {size} px cut out"
    elif short_side is None:
        part = f"all of it, squashed to {size} px"
    else:
        part = f"the short side resized to {short_side} px and the middle {size} px cut out"
    return f"{part}, {transform['interpolation']}"


def recipe(facts: dict) -> list[str]:
    """How a student is trained otherwise than by the paper's recipe, by the options of its case, in words."""
    return [
        *(["the rate falls to 0 along a cosine"] if facts["schedule"] == "cosine" else []),
        *([f"views: {_views(facts['views'])}"] if facts["views"] != 1 else []),
        *([f"images mixed two by two, shares of Beta({mixup:g}, {mixup:g})"] if (mixup := facts["mixup"]) else []),
        *([f"the weights evaluated are an average over steps, decay {facts['ema']:g}"] if facts["ema"] else []),
    ]


def _views(count: int | str) -> str:
    many = (
        "new ones in each epoch, of which the teacher is asked in the loop"
        if count == "live"
        else f"{count} of each image"
    )
    return f"{many} (crop, flip, brightness, contrast and saturation), which teacher and student both see"


def _recipes(cases: list[Case]) -> str:
    """What is named only where it is not the paper's, with the students that it was done to."""
    named: dict[str, dict[str, None]] = {}
    for case in cases:
        if words := "; ".join(recipe(vars(case))):
            named.setdefault(words, {})[case.recipe or case.student] = None
    lines = [f"* Recipe of {', '.join(names)}: {words}.\n" for words, names in named.items()]
    if any(case.dedupe for case in cases):
        lines.append(
            "* Left out: training files that are, byte for byte, evaluation files or earlier training files.\n"
        )
    return "".join(lines)


def _class_logits(done: Chosen) -> str:
    """Where the class logits of teachers come from, of which losses read them."""
    parts = {
        f"of {case.teacher} on {case.dataset} {source}"
        for case, record in done
        if (source := record.protocol.get("class_logits"))
    }
    return f"* Class logits, where a loss compares them, are {'; '.join(sorted(parts))}.\n" if parts else ""


def _pictures(done: Chosen) -> str:
    """What each teacher sees of a picture, and whose choice that is; what else is to be known of it."""
    parts = {
        f"{one.teacher} on {case.dataset} {seen(transform)} ({record.case['geometry']})"
        for case, record in done
        for shown in [record.protocol["preprocessing"]]
        for one in case.alone
        for transform in [shown[one.teacher] if case.several else shown]
    }
    shipped = {one.teacher for case, _ in done for one in case.alone if not one.teacher_model}
    notes = {registry.constant("teacher", name, "NOTE", None) for name in shipped} - {None}
    notes |= {_model(case, record.protocol["teacher"]) for case, record in done if case.teacher_model}
    if together := sorted({case.teacher for case, _ in done if case.several}):
        notes.add(f"{', '.join(together)}: {SEVERAL}")
    if parts:
        meaning = "*published* is what the weights were evaluated on, *squash* a choice of the profile"
        notes.add(f"Of a picture teachers see: {'; '.join(sorted(parts))}. {meaning}")
    return "".join(f"\n* {note}." for note in sorted(notes))


def _model(case: Case, facts: dict) -> str:
    """Which model of a library a teacher is, whose licence binds what is made of it."""
    pinned = f" at {facts['revision']}" if facts["revision"] else ""
    attention = f"; for its attention stand {SUBSTITUTE}" if facts["attention"] == "substitute" else ""
    return (
        f"{case.teacher} is {literal(facts['name'])} of {facts['library']}; weights: {literal(facts['source'])}{pinned}; their "
        f"licence: {literal(facts['licence'])}{attention}"
    )


def _seeds(count: int) -> str:
    if count == 1:
        return "One seed: differences of a point or two are noise, and nothing is bold."
    return (
        f"{count} seeds: mean ± standard deviation (n = {count}, ddof 1). Seeds change a student's first weights and its batches, not "
        "the images: what another sample of images would change is not in the deviation (with 500 of them, one standard "
        "error of an accuracy near 80 % is 1.8 points). Gains are differences seed by seed. A gain is bold where the 95 % "
        "confidence interval of its mean (Student's t) excludes 0: where there is no true difference, about one in twenty is bold "
        "by chance. An accuracy is bold where it is higher than that of every other student or loss by such a difference."
    )


def _probes(done: Chosen) -> str:
    """Whether the solver of the linear probes came to an end."""
    probes = [probe for _, record in done if (probe := record.protocol["probe"])]
    stopped = sum(not probe["converged"] for probe in probes)
    if not probes:
        return ""
    return f" {stopped} of {len(probes)} had not converged." if stopped else f" All {len(probes)} converged."


def _zero_shot(done: Chosen) -> str:
    """On how many images and concepts; chance follows from the concepts, of which one is guessed."""
    facts = {case.dataset: record.protocol for case, record in done if record.protocol["zero_shot_images"]}
    return "".join(
        f" {dataset}: {protocol['zero_shot_images']} evaluation images, {protocol['zero_shot_classes']} concepts (top-1 chance "
        f"{100 / protocol['zero_shot_classes']:.2f} %)."
        for dataset, protocol in facts.items()
    )


def _shuffled(done: Chosen) -> str:
    """What models score when labels or captions are shuffled at random, beside chance."""
    ranges: dict[tuple[str, str], list[float]] = {}
    chance = {}
    for case, record in done:
        for name, value in record.controls.get("shuffled", {}).items():
            ranges.setdefault((case.dataset, name), []).append(value)
            chance[case.dataset, name] = record.protocol["chance"][name]
    texts = [
        f"{name} on {dataset} {min(values):.1f} to {max(values):.1f} (chance {number(chance[dataset, name])})"
        for (dataset, name), values in ranges.items()
    ]
    listed = "; ".join(texts) or "–"
    return f"With labels or captions shuffled at random, the scores of all cases lie in these ranges: {listed}."


def _precisions(done: Chosen) -> str:
    """What students were trained in, and a warning where the records do not all have the same precisions."""
    recorded = [record.environment["hardware"]["precision"] for _, record in done]
    counts = Counter((one["teacher"], one["training"]) for one in recorded)
    trained = " and ".join(sorted({training for _, training in counts})) or "–"
    if len(counts) < 2:
        return f"{trained}."
    cases = "; ".join(
        f"teacher in {teacher} and training in {training}: {count} of {len(done)} cases"
        for (teacher, training), count in sorted(counts.items())
    )
    return (
        f"{trained}. **These results mix precisions** ({cases}): a mean over seeds, or a gain over a control, may be of "
        "records that ran in different ones."
    )


def _places(done: Chosen) -> str:
    """Whether what training reads lay on the device or was streamed, and which cases are not like most."""
    by_place: dict[str, Chosen] = {}
    for case, record in done:
        by_place.setdefault(literal(record.protocol["features"]), []).append((case, record))
    if not by_place:
        return ""
    (most, cases), *others = sorted(by_place.items(), key=lambda item: len(item[1]), reverse=True)
    texts = [f"{most} in {'all ' if len(cases) == len(done) else f'{len(cases)} of '}{len(done)} cases"]
    texts += [f"{place} in {len(cases)} ({_named(cases)})" for place, cases in others]
    return f"\n* What a training step reads was {' and '.join(texts)}. On a CPU the device is its memory."


def _named(cases: Chosen) -> str:
    """The students of some cases, by teacher and dataset."""
    students: dict[str, dict[str, None]] = {}
    for case, _ in cases:
        students.setdefault(f"{case.teacher} on {case.dataset}", {})[case.student] = None
    return "; ".join(f"{pair}: {', '.join(names)}" for pair, names in students.items())


def _reductions(done: Chosen) -> str:
    """What a PCA kept of the features of teachers that are wider than their students."""
    kept = {
        (case.teacher, case.dataset): [record.metrics.get(f"explained_variance_{side}") for side in ("image", "text")]
        for case, record in done
        if not case.has_random_teacher and record.metrics.get("explained_variance_image") is not None
    }
    return "".join(
        f"\n* {teacher}'s features on {dataset} were reduced by a PCA that keeps {100 * image:.1f} % of the image "
        + (f"and {100 * text:.1f} % of the text features' variance." if text is not None else "features' variance.")
        for (teacher, dataset), (image, text) in kept.items()
    )


def _machines(report: Report) -> str:
    """Where and with what the cases ran, for how long, and by which command."""
    if not (done := report.done):
        return ""
    in_order = sorted((record for _, record in done), key=lambda record: record.started)
    machines = dict.fromkeys(_machine(record) for record in in_order)
    total = sum(record.seconds or 0 for record in in_order)
    # Which times are another machine's, and therefore in no table.
    notes = Counter(note for record in in_order for note in record.notes)
    texts = [f" In {count} of {len(done)} cases {note}." for note, count in sorted(notes.items())]
    command = ""
    if report.options is not None:
        precisions = dict.fromkeys(
            record.case["precision"] for record in in_order if record.case["precision"] != "auto"
        )
        chosen = report.options + "".join(f" --precision {name}" for name in precisions)
        command = f" Made by `uv run pytest bench --profile {report.profile}{chosen}`."
    return f"\n* Run on {'; and on '.join(machines)}. {total:.0f} s of work in all.{command}{''.join(texts)}"


def _machine(record: Record) -> str:
    software, where = record.environment["software"], machine(record.environment["hardware"])
    versions = f"Python {software.get('python')}, torch {software.get('torch')}"
    return f"{where}, {versions}, {commit(record.environment, 10)}"
