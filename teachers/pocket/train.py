"""Trains one pocket teacher, measures it on held-out data and writes its weights and model card.

    python -m teachers.pocket.train dino|beit|clip|blip [--seed 0]

The data are drawn from the suite's own generators with a seed that no benchmark split uses. Weights are stored
in half precision as safetensors; the card's figures are those of the stored file, read back.
"""

import argparse
import time
from importlib import import_module

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.data import Split, load, scenes, shapes
from bench.measure.accuracy import knn_top1, retrieval
from teachers import POCKET, random_like, unit
from teachers import load as load_teacher

PRETRAINING_SEED = 20_000  # benchmark splits use small seeds
BANK, HELD_OUT, GALLERY = 2048, 2048, 500


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m teachers.pocket.train", description=__doc__)
    arguments.add_argument("name", choices=["dino", "beit", "clip", "blip"])
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    torch.set_float32_matmul_precision("highest")
    objective = import_module(f"teachers.pocket.{options.name}")
    start = time.perf_counter()

    def report(step: int, steps: int, **values: float) -> None:
        told = " ".join(f"{key}={value:.3f}" for key, value in values.items())
        print(f"{time.perf_counter() - start:7.0f} s  step {step}/{steps}  {told}", flush=True)

    model = _train(objective, options.name, options.seed, report)
    minutes = (time.perf_counter() - start) / 60
    save_file(
        {key: tensor.detach().half().contiguous() for key, tensor in model.state_dict().items()},
        POCKET / f"{options.name}.safetensors",
    )
    card = _card(options.name, objective, options.seed, minutes)
    (POCKET / f"{options.name}.md").write_text(card)
    print(card)


def _train(objective, name: str, seed: int, report) -> nn.Module:
    if name in ("clip", "blip"):
        return objective.train(PRETRAINING_SEED + seed, report)
    pool = load("shapes", "train", objective.POOL, PRETRAINING_SEED + seed)
    return objective.train(pool.pixels, *([pool.labels] if name == "beit" else []), PRETRAINING_SEED + seed, report)


def _card(name: str, objective, seed: int, minutes: float) -> str:
    teacher = load_teacher(name, "pocket")
    parameters = sum(p.numel() for p in teacher.parameters())
    figures = _classification(name, teacher) if name in ("dino", "beit") else _captions(name, teacher)
    rows = "\n".join(f"| {what} | {' | '.join(f'{value:.1f}' for value in values)} |" for what, values in figures[1:])
    header = figures[0]
    return f"""# Pocket teacher: {name}

{" ".join(objective.__doc__.split(chr(10) + chr(10))[0].split())}

* Architecture: {teacher.model.__class__.__module__.split(".")[0]} `{teacher.model.__class__.__name__}` at pocket size, {parameters:,} parameters, input {teacher.size} px, stored as float16.
* Trained on: images of the suite's own generator, pre-training seed {PRETRAINING_SEED + seed}; no benchmark split was seen.
* For how long: {_length(objective)}, {minutes:.0f} minutes on {torch.get_num_threads()} CPU threads (torch {torch.__version__.split("+")[0]}).
* Command: `python -m teachers.pocket.train {name} --seed {seed}`

{_protocol(name)}

| {" | ".join(header)} |
|{"---|" * len(header)}
{rows}

A pocket teacher stands in for its family on a laptop. Its figures say nothing about the full-size model.
"""


def _length(objective) -> str:
    if hasattr(objective, "MASKED_STEPS"):
        return f"{objective.MASKED_STEPS} masked and {objective.LABEL_STEPS} labelled steps of {objective.BATCH} images"
    return f"{objective.STEPS} steps of {objective.BATCH} images"


def _protocol(name: str) -> str:
    if name in ("dino", "beit"):
        return (
            f"k-NN top-1 in percent (k = 20, T = 0.07) on `shapes`: bank of {BANK} training images, {HELD_OUT} held-out "
            "ones, by nuisance of the generator (the benchmark uses the middle column)."
        )
    return f"Recall in percent over a gallery of {GALLERY} held-out `scenes` with all five captions (contrastive embeddings)."


def _classification(name: str, teacher) -> list:
    module = import_module(f"teachers.{name}")
    untrained = getattr(module, name.capitalize())(random_like(module.build_pocket)).eval()
    levels = (0.3, shapes.NUISANCE, 0.9)
    embed = {
        "this teacher": lambda x: teacher.image(x).joint,
        "the same network untrained": lambda x: untrained.image(x).joint,
        "raw pixels": lambda x: unit(x.float().flatten(1) - 127.5),
    }
    table: list = [("k-NN", *(f"nuisance {level}" for level in levels))]
    for what, function in embed.items():
        table.append((what, [_knn_at(function, level) for level in levels]))
    return table


def _knn_at(embed, nuisance: float) -> float:
    bank, held_out = (shapes.load(split, count, 0, nuisance) for split, count in (("train", BANK), ("test", HELD_OUT)))
    return knn_top1(_batched(embed, bank.pixels), bank.labels, _batched(embed, held_out.pixels), held_out.labels)


def _captions(name: str, teacher) -> list:
    module = import_module(f"teachers.{name}")
    untrained = getattr(module, name.capitalize())(random_like(module.build_pocket), *_text_arguments(name)).eval()
    split = scenes.load("test", GALLERY, 0)
    header = ("", "image to text R@1", "R@5", "R@10", "text to image R@1", "R@5", "R@10")
    return [
        header,
        ("this teacher", _recalls(teacher, split)),
        ("the same network untrained", _recalls(untrained, split)),
    ]


def _text_arguments(name: str) -> tuple:
    from teachers import blip
    from teachers.pocket import words

    return (blip.tokenize_pocket, 64) if name == "blip" else (lambda texts: words.encode(texts, words.BEGIN),)


def _recalls(teacher, split: Split) -> list[float]:
    images = _batched(lambda x: teacher.image(x).joint, split.pixels)
    texts = _batched(lambda x: teacher.text(x).joint, split.captions)
    result = retrieval(images, texts, split.owner)
    return [*result.image_to_text.values(), *result.text_to_image.values()]


def _batched(function, inputs, size: int = 256) -> Tensor:
    return torch.cat([function(inputs[start : start + size]) for start in range(0, len(inputs), size)])


if __name__ == "__main__":
    main()
