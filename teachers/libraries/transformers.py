"""Any vision model of transformers as a teacher: its pooler's output where that is trained, else its CLS token or its mean.

A model is named by its repository on the hub, or by a folder as ``save_pretrained`` leaves it. Of a model of images and texts
the image tower is taken. No code of a repository is run. What a pooler without weights in the checkpoint would give is
noise, so ViT's ``pooler`` counts only where its tensors are there.
"""

import inspect
import math
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn

from bench.declared import LibraryModel
from bench.kit.errors import UserError
from bench.kit.hub import fetched
from teachers import Weights, WeightsError, prepare, random_like, transform_of
from teachers._hub import FILES, Source, beside, locate, provenance
from teachers._library import Facts, Layout, LibraryTeacher, UnfitError, Watch, card_licence, layout
from teachers.libraries import describe as described

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
POOLER = "pooler."  # names of tensors that checkpoints may lack
HEADS = (
    "classifier.",
    "cls_classifier.",
    "distillation_classifier.",
    "decoder.",
    "lm_head.",
    "head.",
    "mask_token",
    "text_model.",
)
SHUFFLES = ("vit_mae",)  # masks and shuffles patches at random
LEVELS = 5  # of grey, by which a picture may differ from what the processor makes of it
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


class TransformersTeacher(LibraryTeacher):
    """A vision model of transformers."""

    def __init__(self, model: nn.Module, facts: Facts, transform: dict, pool: str, provenance: dict | None):
        super().__init__(model, facts, transform, provenance)
        self.pool = pool

    def outputs(self, inputs: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        output = forward(self.model, inputs)
        grid = self.facts.layout
        patches = grid and grid.patches(output.last_hidden_state)
        pooled = pooled_of(output, patches, self.pool)
        return pooled, patches, pooled


def forward(model: nn.Module, inputs: Tensor):
    """The model's own output; position embeddings are resampled to the input's size where the model offers it."""
    options = (
        {"interpolate_pos_encoding": True}
        if "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
        else {}
    )
    side = getattr(model.config, "image_size", None)
    return model(pixel_values=inputs, **(options if side not in (inputs.shape[-1], [inputs.shape[-1]] * 2) else {}))


def pooled_of(output, patches: Tensor | None, pool: str) -> Tensor:
    """The pooled feature ``[B, D]``: "pooler", the first "token", or the mean of the patches ("avg")."""
    if pool == "pooler":
        return output.pooler_output.flatten(1)
    hidden = output.last_hidden_state
    if pool == "token":
        return hidden[:, 0]
    if patches is None:
        patches = hidden if hidden.ndim == 3 else hidden.flatten(2).transpose(1, 2)
    return patches.mean(dim=1)


def load(name: str, model: LibraryModel, weights: Weights) -> TransformersTeacher:
    """Raises :class:`WeightsError` where the weights cannot be had or do not fill the model."""
    facts, has_pooler = described(model, weights.path), False
    if weights.kind == "random":
        folder = _folder(model, weights.path)
        built, origin = random_like(lambda: build(folder)), provenance("transformers", model.name, "random")
    else:
        path = weights.path or (Path(model.name).expanduser() if _is_folder(model) else None)
        checkpoint = locate(Source(name, model.name, FILES, (CONFIG, PREPROCESSOR), path, weights.revision))
        folder = checkpoint.file.parent
        built, has_pooler = random_like(lambda: _filled(name, folder))
        origin = checkpoint.provenance("transformers", model.name)
    pool = _pool(*_tried(folder, facts.size), facts.layout, model, has_pooler)
    return TransformersTeacher(built, facts, transform(folder, model), pool, origin)


def describe(model: LibraryModel, path: Path | None = None) -> Facts:
    """See :func:`teachers.libraries.describe`."""
    try:
        folder = _folder(model, path)
    except UserError as error:
        raise UnfitError(
            "transformers", f"{error}, or give a folder as save_pretrained leaves it as its path"
        ) from None
    try:
        prepared = transform(folder, model)
        built, output = _tried(folder, prepared["size"])
    except Exception as error:  # whatever a config of any model makes transformers raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UnfitError("size" if model.size else "transformers", f"{model.name} cannot be built ({reason})") from None
    grid = _grid(built, output.last_hidden_state, prepared["size"])
    pool = _pool(built, output, grid, model, has_pooler=True)
    if pool == "token" and model.pool == "token" and not (grid and grid.before):
        raise UnfitError("pool", f"{model.name} has no token before its patches")
    patch = getattr(built.config, "patch_size", None)
    if isinstance(patch, int) and prepared["size"] % patch:
        raise UnfitError("size", f"{prepared['size']} px are no multiple of the patches of {model.name}, {patch} px")
    pooled = pooled_of(output, grid and grid.patches(output.last_hidden_state), pool)
    attention = "none"
    if grid:
        with torch.device("meta"), torch.no_grad(), Watch(grid, 1) as watch:
            forward(built, torch.empty(1, 3, prepared["size"], prepared["size"]))
        attention = "exact" if watch.last else "substitute"
    return Facts(prepared["size"], pooled.shape[1], grid, _rows(built, pool), attention, card_licence(folder))


def _tried(folder: Path, size: int):
    """The model on the meta device, and its output of one image: shapes without numbers."""
    with torch.device("meta"), torch.no_grad():
        built = build(folder).eval()
        return built, forward(built, torch.empty(1, 3, size, size))


def _is_folder(model: LibraryModel) -> bool:
    return (Path(model.name).expanduser() / CONFIG).is_file()


def _folder(model: LibraryModel, path: Path | None) -> Path:
    """The folder of the model's configuration: the given one, or that of the hub's cache."""
    if path or _is_folder(model):
        folder = beside(path or model.name, CONFIG).parent
        for file in (CONFIG, PREPROCESSOR):
            if not (folder / file).is_file():
                raise UserError(f"{folder} has no {file}")
        return folder
    command = f"{CONFIG} {PREPROCESSOR} {FILES[0]}"
    config, _ = (fetched(model.name, (file,), None, command) for file in (CONFIG, PREPROCESSOR))
    return config.parent


def build(folder: Path) -> nn.Module:
    """The image tower that the folder's config describes, without weights."""
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type in SHUFFLES:
        raise ValueError(f"a model of type {config.model_type} masks its patches at random")
    return _vision(transformers.AutoModel.from_config(config, dtype=torch.float32))


def _vision(model: nn.Module) -> nn.Module:
    return getattr(model, "vision_model", model)


def _filled(name: str, folder: Path) -> tuple[nn.Module, bool]:
    """The model with the folder's weights, and whether these have a pooler's."""
    build(folder)  # refuses what cannot be a teacher
    options = {
        "local_files_only": True,
        "trust_remote_code": False,
        "output_loading_info": True,
        "dtype": torch.float32,
    }
    with _quiet():
        model, report = transformers.AutoModel.from_pretrained(folder, **options)
    missing = [key for key in report["missing_keys"] if not key.startswith(POOLER)]
    unexpected = [key for key in report["unexpected_keys"] if not key.startswith(HEADS)]
    others = [*missing, *unexpected, *(str(key) for key in report["mismatched_keys"])]
    broken = [key for key, tensor in model.state_dict().items() if not tensor.isfinite().all()]
    if others or broken:
        raise WeightsError(
            f"teacher {name}: the weights in {folder} do not fill {type(model).__name__}, so they are refused: {len(missing)} missing, "
            f"{len(unexpected)} unexpected, {len(report['mismatched_keys'])} of another shape, {len(broken)} not finite, such as {[*others, *broken][0]}"
        )
    return _vision(model), len(missing) == len(report["missing_keys"])


@contextmanager
def _quiet():
    """Without transformers' report on tensors, which is checked here."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)


def _pool(built: nn.Module, output, grid: Layout | None, model: LibraryModel, has_pooler: bool) -> str:
    """How the feature is made: "pooler", "token" or "avg"."""
    if model.pool != "own":
        return model.pool
    if getattr(output, "pooler_output", None) is None:
        return "token" if grid and grid.before else "avg"
    dense = any(name.startswith(POOLER) and "dense" in name for name, _ in built.named_parameters())
    return "pooler" if has_pooler or not dense else "token"


def _rows(built: nn.Module, pool: str) -> str:
    """Whose rows of the attention count: of a pooler, the CLS token's where there is one, else those of all patches."""
    if pool != "pooler":
        return pool
    has_token = any(name.endswith(("cls_token", "class_embedding")) for name, _ in built.named_parameters())
    return "token" if has_token and not getattr(built.config, "use_mean_pooling", False) else "avg"


def _grid(built: nn.Module, hidden: Tensor, size: int):
    patch = getattr(built.config, "patch_size", None)
    before = None
    if hidden.ndim == 3 and isinstance(patch, int) and (size // patch) ** 2 <= hidden.shape[1]:
        before = hidden.shape[1] - (size // patch) ** 2
    return layout(hidden.shape, before)


def transform(folder: Path, model: LibraryModel) -> dict:
    """The transform of the folder's image processor. Raises ``ValueError`` where that does what no transform here does."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _check(processor, _transform(processor, None, None))
    return _transform(processor, model.size, model.crop)


def _check(processor, facts: dict) -> None:
    """Compare what becomes of a picture: there are processors that swap channels, or resize by a factor of their own."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(256, (3, 250, 350), dtype=torch.uint8, generator=generator)
    theirs = processor(picture, return_tensors="pt")["pixel_values"]
    ours = prepare(picture[None], **facts)
    levels = (theirs - ours) * torch.tensor(facts["std"]).view(3, 1, 1) * 255 if theirs.shape == ours.shape else None
    if levels is None or levels.abs().max() > LEVELS:
        raise ValueError(f"its {type(processor).__name__} does more to a picture than to resize, cut and normalise it")


def _transform(processor, asked: int | None, crop: float | None) -> dict:
    """The transform of a processor at the size and with the cut that are asked for (None: its own)."""
    size, cut = dict(processor.size), dict(getattr(processor, "crop_size", None) or {})
    crops = getattr(processor, "do_center_crop", False) and cut
    short, squash = size.get("shortest_edge"), size.get("height")
    own = cut["height"] if crops else short or squash
    resized = short or squash
    if (
        share := getattr(processor, "crop_pct", None)
    ) and short:  # ConvNeXT's: below 384 px a cut, from there on all of it
        short, squash, resized = (short, None, int(short / share)) if short < 384 else (None, short, short)
    if own is None or (squash and size.get("width", squash) != squash):
        raise ValueError(f"its image processor makes no square: {size}")
    wanted = asked or own
    if crop:
        resized = math.floor(wanted / crop)
    elif asked:
        resized = round(resized * wanted / own)
    normalises = getattr(processor, "do_normalize", True)
    mean, std = (processor.image_mean, processor.image_std) if normalises else ([0.0] * 3, [1.0] * 3)
    interpolation = INTERPOLATIONS.get(int(processor.resample if processor.resample is not None else 3))
    if interpolation is None:
        raise ValueError(f"its image processor resizes with Pillow's filter {processor.resample}")
    side = {"short_side": resized} if short else {"squash": resized}
    return transform_of(wanted, mean, std, interpolation, **side, floor=True)
