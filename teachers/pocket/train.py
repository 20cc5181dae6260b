"""Trains one pocket teacher, measures it on held-out data and writes its weights and model card.

    python -m teachers.pocket.train dino|beit|clip|blip [--seed 0]
    python -m teachers.pocket.train dino|beit --dataset tiny-imagenet [--device cuda] [--precision tf32]

Without a dataset, images are drawn by the suite's own generators with a seed that no benchmark split uses; with one, the
training split of a prepared real set is used. Weights are stored in half precision as safetensors; the card's figures
are those of the stored file, read back on the CPU.

``--device`` and ``--precision`` are those of pytest bench, as students train; but real images are trained on in bfloat16 by
CPUs that multiply it in hardware, unless another precision is asked for. A seed draws the same crops and colours on every
device. clip and blip, whose scenes are drawn while they train, do so on the CPU in fp32.
"""

import argparse
import time
from importlib import import_module
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.data import load, scenes, shapes
from bench.data.prepared import is_prepared_kind
from bench.features.device import Device, find
from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.files import write_atomically
from bench.measure.classification import knn
from bench.measure.cost import parameters
from bench.measure.retrieval import DEPTHS, retrieval
from bench.plan.case import PRECISIONS
from bench.registry import names
from teachers import POCKET, Weights, unit
from teachers import load as load_teacher

DRAWN_CAPTIONS = ("clip", "blip")
PRETRAINING_SEED = 20_000  # benchmark splits use small seeds
POOL = 16384  # drawn images for dino and beit; clip and blip never see an image twice
BANK, HELD_OUT, GALLERY = 2048, 2048, 500


def main() -> None:
    torch.set_float32_matmul_precision("highest")
    options, device = _options()
    start = time.perf_counter()

    def report(step: int, steps: int, **values: float) -> None:
        losses = " ".join(f"{key}={value:.3f}" for key, value in values.items())
        print(f"{time.perf_counter() - start:7.0f} s  step {step}/{steps}  {losses}", flush=True)

    model = _train(options.name, options.dataset, PRETRAINING_SEED + options.seed, report, device)
    minutes = (time.perf_counter() - start) / 60
    path = POCKET / (
        f"{options.name}-{options.dataset}.safetensors" if options.dataset else f"{options.name}.safetensors"
    )
    weights = {key: tensor.detach().cpu().half().contiguous() for key, tensor in model.state_dict().items()}
    write_atomically(path, lambda temporary: save_file(weights, temporary))
    text = card(options, device, minutes)
    path.with_suffix(".md").write_text(text)
    print(text)


def _options() -> tuple[argparse.Namespace, Device]:
    """What was asked for, and where to train, how precisely: on a CPU that has bfloat16 real images in it by default."""
    parser = argparse.ArgumentParser(prog="python -m teachers.pocket.train", description=__doc__)
    parser.add_argument("name", choices=["dino", "beit", *DRAWN_CAPTIONS])
    parser.add_argument("--dataset", choices=[*filter(is_prepared_kind, names("dataset"))], help="a prepared real set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, metavar="DIR", help="where prepared datasets are")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="as students train in pytest bench")
    options = parser.parse_args()
    paths.use(options.data)
    if options.dataset and (options.name in DRAWN_CAPTIONS or options.dataset != "tiny-imagenet"):
        parser.error("--dataset is for dino and beit on tiny-imagenet; captions of real images need a larger teacher")
    elsewhere = options.device not in ("auto", "cpu") or options.precision not in ("auto", "fp32")
    if options.name in DRAWN_CAPTIONS:
        if elsewhere:
            parser.error(f"{options.name} trains on the CPU, in fp32; --device and --precision are for dino and beit")
        return options, Device("cpu", "fp32")
    try:
        on_cpu = find(options.device, options.precision)[0].type == "cpu"
        chooses = on_cpu and options.precision == "auto" and options.dataset
        return options, Device(options.device, "bf16" if chooses and has_bfloat16() else options.precision)
    except UserError as error:
        parser.error(str(error))


def _train(name: str, dataset: str | None, seed: int, report, device: Device) -> nn.Module:
    objective = import_module(f"teachers.pocket.{name}")
    if name in DRAWN_CAPTIONS:
        return objective.train(seed, report)
    pool = load(dataset, "train", None) if dataset else load("shapes", "train", POOL, seed)
    pixels, labels, recipe = pool.pixels, pool.labels, objective.DRAWN
    if dataset:
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
        pixels, labels, recipe = pixels[order], labels[order], objective.REAL
    if device.mixed and device.torch.type == "cpu":
        import timm.layers

        # PyTorch's fused attention is several times slower in bfloat16 on a CPU than two matrix products.
        timm.layers.set_fused_attn(False)
    pixels, labels = pixels.to(device.torch), labels.to(device.torch)
    return objective.train(pixels, labels, seed, report, recipe, device.student_autocast())


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AMX, AVX-512 BF16); without, it is many times slower.

    A layer of 3,152 x 768 x 3,072 on one thread of an EPYC with AVX-512 BF16: 84 GFLOP/s in float32, 346 in bfloat16.
    """
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def card(options: argparse.Namespace, device: Device, minutes: float) -> str:
    """The model card of the stored weights, which are measured."""
    name, dataset, seed = options.name, options.dataset, options.seed
    objective = import_module(f"teachers.pocket.{name}")
    models = {
        "this teacher": load_teacher(name, Weights("pocket", dataset)),
        "the same network untrained": load_teacher(name, Weights("untrained", dataset)),
    }
    protocol, header, figures = _recalls(models) if name in DRAWN_CAPTIONS else _neighbours(models, dataset)
    rows = "\n".join(f"| {what} | {' | '.join(f'{value:.1f}' for value in values)} |" for what, values in figures)
    given = {"dataset": dataset, "device": options.device, "precision": options.precision}
    option = "".join(f" --{key} {value}" for key, value in given.items() if value not in (None, "auto"))
    trained_on, but = "images of the suite's own generator", "no benchmark split was seen"
    if dataset:
        trained_on = f"{len(load(dataset, 'train', None)):,} training images of {dataset}"
        but = "the evaluation images were not seen"
    recipe = getattr(objective, "REAL" if dataset else "DRAWN", None)
    length = recipe.length if recipe else f"{objective.STEPS} steps of {objective.BATCH} images"
    on_cpu = device.torch.type == "cpu"
    place = f"{torch.get_num_threads()} CPU threads" if on_cpu else torch.cuda.get_device_name(device.torch)
    passes = {"fp32": "", "tf32": ", TF32 matrix products", "bf16": ", bfloat16 forward passes"}[device.precision]
    teacher = models["this teacher"]
    return f"""# Pocket teacher: {name}{f" on {dataset}" if dataset else ""}

{" ".join(objective.__doc__.split(chr(10) + chr(10))[0].split())}

* Architecture: {teacher.model.__class__.__module__.split(".")[0]} `{teacher.model.__class__.__name__}` at pocket size, {parameters(teacher):,} parameters, input {teacher.size} px, stored as float16.
* Trained on: {trained_on}, pre-training seed {PRETRAINING_SEED + seed}; {but}.
* For how long: {length}, {minutes:.0f} minutes on {place}{passes} (torch {torch.__version__.split("+")[0]}).
* Command: `python -m teachers.pocket.train {name}{option} --seed {seed}`

{protocol}

| {" | ".join(header)} |
|{"---|" * len(header)}
{rows}

A pocket teacher stands in for its family on a laptop. Its figures say nothing about the full-size model.
"""


def _neighbours(models: dict, dataset: str | None) -> tuple[str, list[str], list[tuple[str, list[float]]]]:
    """How k-NN is measured, the header of its table, and a row for each of the models and for raw pixels."""
    if dataset:
        bank, queries = load(dataset, "train", None), load(dataset, "test", None)
        chance = 100 / len(bank.classes)
        title = f"{len(bank):,} images in the bank, {len(queries):,} queries, chance {chance:.1f}"
        pairs = {title: (bank, queries)}
        protocol = f"k-NN (k = 20, T = 0.07) in percent on {dataset}, the training split as the bank, the evaluation split as queries."
    else:
        pairs = {
            f"nuisance {level}": (shapes.load("train", BANK, 0, level), shapes.load("test", HELD_OUT, 0, level))
            for level in (0.3, shapes.NUISANCE, 0.9)
        }
        protocol = (
            f"k-NN top-1 in percent (k = 20, T = 0.07) on `shapes`: bank of {BANK} training images, {HELD_OUT} held-out "
            "ones, by nuisance of the generator (the benchmark uses the middle column)."
        )
    embedders = {what: lambda x, model=model: model.image(x).joint for what, model in models.items()}
    embedders["raw pixels"] = lambda x: unit(x.float().flatten(1) - 127.5)

    def top1(embed, bank, queries) -> float:
        own, others = _batched(embed, bank.pixels), _batched(embed, queries.pixels)
        return knn(own, bank.labels, others, queries.labels).top1

    rows = [(what, [top1(embed, *pair) for pair in pairs.values()]) for what, embed in embedders.items()]
    return protocol, ["k-NN", *pairs], rows


def _recalls(models: dict) -> tuple[str, list[str], list[tuple[str, list[float]]]]:
    """How recall is measured, the header of its table, and a row for each of the models."""
    protocol = f"Recall in percent over a gallery of {GALLERY} held-out `scenes` with all five captions (contrastive embeddings)."
    split, rows = scenes.load("test", GALLERY, 0), []
    for what, model in models.items():
        images = _batched(lambda x, model=model: model.image(x).joint, split.pixels)
        texts = _batched(lambda x, model=model: model.text(x).joint, split.captions)
        result = retrieval(images, texts, split.owner)
        rows.append((what, [result[f"{side}_r{k}"] for side in ("image_to_text", "text_to_image") for k in DEPTHS]))
    return protocol, ["", "image to text R@1", "R@5", "R@10", "text to image R@1", "R@5", "R@10"], rows


def _batched(function, inputs, size: int = 256) -> Tensor:
    return torch.cat([function(inputs[start : start + size]) for start in range(0, len(inputs), size)])


if __name__ == "__main__":
    main()
