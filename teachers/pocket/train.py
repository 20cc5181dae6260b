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
from bench.data.split import Split
from bench.features.precision import Device
from bench.kit import paths
from bench.kit.device import DeviceError, find
from bench.kit.files import write_atomically
from bench.measure.knn import knn
from bench.measure.retrieval import retrieval
from bench.plan.case import PRECISIONS
from bench.registry import names
from teachers import POCKET, Weights, random_like, unit
from teachers import load as load_teacher

PRETRAINING_SEED = 20_000  # benchmark splits use small seeds
POOL = 16384  # drawn images for dino and beit; clip and blip never see an image twice
BANK, HELD_OUT, GALLERY = 2048, 2048, 500


def main() -> None:
    options = _options()
    torch.set_float32_matmul_precision("highest")
    device = _device(options)
    objective = import_module(f"teachers.pocket.{options.name}")
    start = time.perf_counter()

    def report(step: int, steps: int, **values: float) -> None:
        losses = " ".join(f"{key}={value:.3f}" for key, value in values.items())
        print(f"{time.perf_counter() - start:7.0f} s  step {step}/{steps}  {losses}", flush=True)

    model = _train(objective, options.name, options.dataset, options.seed, report, device)
    minutes = (time.perf_counter() - start) / 60
    path = POCKET / f"{_stem(options.name, options.dataset)}.safetensors"
    weights = {key: tensor.detach().cpu().half().contiguous() for key, tensor in model.state_dict().items()}
    write_atomically(path, lambda temporary: save_file(weights, temporary))
    write_card(options, device, minutes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m teachers.pocket.train", description=__doc__)
    parser.add_argument("name", choices=["dino", "beit", "clip", "blip"])
    parser.add_argument("--dataset", choices=[*filter(is_prepared_kind, names("dataset"))], help="a prepared real set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, metavar="DIR", help="where prepared datasets are")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="as students train in pytest bench")
    options = parser.parse_args()
    paths.use(options.data)
    if options.dataset and (options.name in ("clip", "blip") or options.dataset != "tiny-imagenet"):
        parser.error("--dataset is for dino and beit on tiny-imagenet; captions of real images need a larger teacher")
    elsewhere = options.device not in ("auto", "cpu") or options.precision not in ("auto", "fp32")
    if options.name in ("clip", "blip") and elsewhere:
        parser.error(f"{options.name} trains on the CPU, in fp32; --device and --precision are for dino and beit")
    try:
        find(options.device, options.precision)
    except DeviceError as error:
        parser.error(str(error))
    return options


def _device(options: argparse.Namespace) -> Device:
    """Where to train, and how precisely: on a CPU that has bfloat16 real images in it, unless another is asked for."""
    if options.name in ("clip", "blip"):
        return Device.of("cpu", "fp32")
    kind = find(options.device, options.precision)[0].type
    chooses = kind == "cpu" and options.precision == "auto"
    return Device.of(options.device, "bf16" if chooses and options.dataset and has_bfloat16() else options.precision)


def _stem(name: str, dataset: str | None) -> str:
    return f"{name}-{dataset}" if dataset else name


def _train(objective, name: str, dataset: str | None, seed: int, report, device: Device) -> nn.Module:
    seed += PRETRAINING_SEED
    if name in ("clip", "blip"):
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


def write_card(options: argparse.Namespace, device: Device, minutes: float) -> None:
    """Measure the stored weights and write their model card beside them."""
    card = _card(options, device, minutes)
    (POCKET / f"{_stem(options.name, options.dataset)}.md").write_text(card)
    print(card)


def _card(options: argparse.Namespace, device: Device, minutes: float) -> str:
    name, dataset, seed = options.name, options.dataset, options.seed
    objective = import_module(f"teachers.pocket.{name}")
    teacher = load_teacher(name, Weights("pocket", dataset))
    parameters = sum(p.numel() for p in teacher.parameters())
    if dataset:
        figures = _on_real_images(name, teacher, dataset)
    else:
        figures = _classification(name, teacher) if name in ("dino", "beit") else _captions(name, teacher)
    rows = "\n".join(f"| {what} | {' | '.join(f'{value:.1f}' for value in values)} |" for what, values in figures[1:])
    header = figures[0]
    given = {"dataset": dataset, "device": options.device, "precision": options.precision}
    option = "".join(f" --{key} {value}" for key, value in given.items() if value not in (None, "auto"))
    return f"""# Pocket teacher: {name}{f" on {dataset}" if dataset else ""}

{" ".join(objective.__doc__.split(chr(10) + chr(10))[0].split())}

* Architecture: {teacher.model.__class__.__module__.split(".")[0]} `{teacher.model.__class__.__name__}` at pocket size, {parameters:,} parameters, input {teacher.size} px, stored as float16.
* Trained on: {_trained_on(dataset, seed)}
* For how long: {_length(objective, dataset)}, {minutes:.0f} minutes on {_trainer(device)} (torch {torch.__version__.split("+")[0]}).
* Command: `python -m teachers.pocket.train {name}{option} --seed {seed}`

{_protocol(name, dataset)}

| {" | ".join(header)} |
|{"---|" * len(header)}
{rows}

A pocket teacher stands in for its family on a laptop. Its figures say nothing about the full-size model.
"""


def _trainer(device: Device) -> str:
    """What trained, and how precisely, as a card tells it."""
    on_cpu = device.torch.type == "cpu"
    place = f"{torch.get_num_threads()} CPU threads" if on_cpu else torch.cuda.get_device_name(device.torch)
    passes = {"fp32": "", "tf32": ", TF32 matrix products", "bf16": ", bfloat16 forward passes"}
    return place + passes[device.precision]


def _trained_on(dataset: str | None, seed: int) -> str:
    if dataset is None:
        return f"images of the suite's own generator, pre-training seed {PRETRAINING_SEED + seed}; no benchmark split was seen."
    count = len(load(dataset, "train", None))
    return f"{count:,} training images of {dataset}, pre-training seed {PRETRAINING_SEED + seed}; the evaluation images were not seen."


def _length(objective, dataset: str | None) -> str:
    if dataset or hasattr(objective, "DRAWN"):
        return (objective.REAL if dataset else objective.DRAWN).length
    return f"{objective.STEPS} steps of {objective.BATCH} images"


def _protocol(name: str, dataset: str | None) -> str:
    if dataset:
        return f"k-NN (k = 20, T = 0.07) in percent on {dataset}, the training split as the bank, the evaluation split as queries."
    if name in ("dino", "beit"):
        return (
            f"k-NN top-1 in percent (k = 20, T = 0.07) on `shapes`: bank of {BANK} training images, {HELD_OUT} held-out "
            "ones, by nuisance of the generator (the benchmark uses the middle column)."
        )
    return f"Recall in percent over a gallery of {GALLERY} held-out `scenes` with all five captions (contrastive embeddings)."


def _on_real_images(name: str, teacher, dataset: str) -> list:
    bank, queries = load(dataset, "train", None), load(dataset, "test", None)
    table: list = [
        ("k-NN", f"{len(bank):,} images in the bank, {len(queries):,} queries, chance {100 / len(bank.classes):.1f}")
    ]
    for what, function in _embedders(name, teacher, bank.side).items():
        embedded = [_batched(function, split.pixels) for split in (bank, queries)]
        table.append((what, [knn(embedded[0], bank.labels, embedded[1], queries.labels).top1]))
    return table


def _embedders(name: str, teacher, side: int) -> dict:
    """What is compared: the teacher, the same network untrained, raw pixels."""
    module = import_module(f"teachers.{name}")
    untrained = getattr(module, name.capitalize())(random_like(lambda: module.build_pocket(side))).eval()
    return {
        "this teacher": lambda x: teacher.image(x).joint,
        "the same network untrained": lambda x: untrained.image(x).joint,
        "raw pixels": lambda x: unit(x.float().flatten(1) - 127.5),
    }


def _classification(name: str, teacher) -> list:
    levels = (0.3, shapes.NUISANCE, 0.9)
    embed = _embedders(name, teacher, shapes.SIZE)
    table: list = [("k-NN", *(f"nuisance {level}" for level in levels))]
    for what, function in embed.items():
        table.append((what, [_knn_at(function, level) for level in levels]))
    return table


def _knn_at(embed, nuisance: float) -> float:
    bank, held_out = (shapes.load(split, count, 0, nuisance) for split, count in (("train", BANK), ("test", HELD_OUT)))
    embedded = [_batched(embed, split.pixels) for split in (bank, held_out)]
    return knn(embedded[0], bank.labels, embedded[1], held_out.labels).top1


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
    from teachers import _words as words
    from teachers import blip

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
