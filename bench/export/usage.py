"""How an exported student is used, as its card prints it: what needs no checkout first."""

from bench.export.loaded import Config
from bench.kit.environment import commit
from bench.report.protocol import seen


def text(config: Config, difference: float | None) -> str:
    """``difference`` is that of the ONNX graph to PyTorch, None where there is no graph."""
    alone = {"timm": _timm, "model.py": _model, None: _none}[config.alone]
    parts = [alone(config), "" if difference is None else _onnx(config, difference), _checkout(config)]
    if config.classifier:
        parts.append(_classifier(config))
    return "\n\n".join(filter(None, parts))


def _timm(config: Config) -> str:
    dims, side, width = config.dims, config.side, config.trunk_width
    classified = ""
    if config.timm_classifier:
        classified = """
model = timm.create_model("local-dir:timm", pretrained=True).eval()
names = model.pretrained_cfg["label_names"]
with torch.no_grad():
    best = [names[column] for column in model(pixels).argmax(dim=1)]"""
    gives = "logits of a linear classifier" if config.timm_classifier else f"{width} pooled features"
    return f"""`timm/` is a model of timm, which needs no checkout of distill-bench: `timm.create_model("local-dir:timm", pretrained=True)`
gives its {gives}, for pictures that are prepared as its `pretrained_cfg` says. `head.safetensors`
is the rest of the student, from {width} features to embeddings. In this folder, with `pip install timm`:

```python
import timm, torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import create_transform, resolve_model_data_config

trunk = timm.create_model("local-dir:timm", pretrained=True, num_classes=0).eval()
prepare = create_transform(**resolve_model_data_config(trunk))
head = torch.nn.Sequential(torch.nn.Linear({width}, {dims.bottleneck}), torch.nn.ReLU(), torch.nn.Linear({dims.bottleneck}, {dims.embedding}))
head.load_state_dict(load_file("head.safetensors"))
pictures = [Image.new("RGB", ({side}, {side}))] * 2
pixels = torch.stack([prepare(picture) for picture in pictures])
with torch.no_grad():
    images = torch.nn.functional.normalize(head(trunk(pixels)), dim=1){classified}
```"""


def _model(config: Config) -> str:
    return f"""`model.py` is all of the student, which needs no checkout of distill-bench. In this folder, with `pip install timm`:

```python
import torch
from model import load
model = load()
images = model(torch.randint(0, 256, (2, 3, {config.side}, {config.side}), dtype=torch.uint8))
```"""


def _none(config: Config) -> str:
    why = f"{config.teacher.name}'s features" if config.reads != "pixels" else "more of it than its own file"
    return f"It loads with a checkout of distill-bench only: the student needs {why}."


def _classifier(config: Config) -> str:
    return """`classifier.safetensors` is a linear classifier on the embeddings `images`, whose classes `config.json` names:

```python
import json
from safetensors.torch import load_file
classifier = load_file("classifier.safetensors")
names = json.load(open("config.json"))["classifier"]["classes"]
logits = torch.as_tensor(images) @ classifier["weight"].T + classifier["bias"]
best = [names[column] for column in logits.argmax(dim=1)]
```"""


def _checkout(config: Config) -> str:
    side = config.side if config.reads == "pixels" else 64
    caption = '\ntexts = model.text(["a photo of a dog", "two small red circles"])' if config.text_reads else ""
    if config.reads == "pixels":
        fit = "the short side fitted and the middle cut out" if config.crop else "the whole picture squashed into them"
        pictures = f"Pixels are RGB squares of {side}, uint8 or float in [0, 255], {fit}."
    else:
        part = f"{seen(config.teacher.transform)} ({config.training['geometry']})"
        pictures = f"Pixels are RGB, uint8 or float in [0, 255], of any size. Of a picture the teacher sees {part}."
    return f"""With a checkout of distill-bench ({commit(config.environment)}) on the Python path, as by
`PYTHONPATH=CHECKOUT uv run --project CHECKOUT python` in this folder:

```python
import torch
from bench.export import load
model = load(".")
images = model.image(torch.randint(0, 256, (2, 3, {side}, {side}), dtype=torch.uint8)){caption}
```

{pictures} Embeddings have {config.dims.embedding} dimensions and unit length: compare them by their dot product. The student was trained with cosines multiplied by {config.logit_scale:.4g}."""


def _onnx(config: Config, difference: float) -> str:
    shape = f"3, {config.side}, {config.side}"
    logits = f" and `logits [batch, {len(config.classifier.classes)}]`" if config.classifier else ""
    return f"""`model.onnx` is the image side alone: uint8 `pixels [batch, {shape}]` to `embeddings [batch, {config.dims.embedding}]`{logits},
normalisation included. On random images its largest difference to PyTorch was {difference:.2g}.
`sha256sum model.onnx` has to print `{config.onnx_sha256}`, as `config.json` says.

```python
import numpy, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
images = session.run(["embeddings"], {{"pixels": numpy.zeros((2, {shape}), numpy.uint8)}})[0]
```"""
