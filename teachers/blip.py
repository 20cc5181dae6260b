"""BLIP (Li et al., 2201.12086): contrastive, matching and language-modelling pre-training.

``BlipForImageTextRetrieval`` is the class that BLIP's retrieval checkpoints fit. ``BlipModel`` is a trap: no
published checkpoint fits it, and its text tower, projections and logit scale come out random (transformers
issue 28034). The retrieval class has no logit scale, so BLIP's own temperature 0.07 is stated here.

Students read the hidden states, reduced by a PCA fitted on training features (``reduce_to``); the teacher's
own similarities come from its ITC projections.
"""

import hashlib
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, BlipConfig, BlipForImageTextRetrieval

from teachers import (
    ImageFeatures,
    TextFeatures,
    Weights,
    WeightsError,
    attention_of,
    in_float32,
    load_pocket,
    prepare,
    random_like,
    sent,
    to_patches,
    transform_of,
    unit,
)
from teachers import _words as words
from teachers._hub import FILES, Source, check_facts, fill, locate, provenance, read_config, read_tensors

KIND = "captions"
NOTE = (
    "blip's figures are those of its contrastive embeddings (ITC) alone, without the re-ranking by its matching head (ITM) that "
    "BLIP's published retrieval adds"
)
FULL = "Salesforce/blip-itm-base-coco"
# Without tokenizer.json transformers makes up a tokenizer to which every word is unknown, and says nothing.
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json")
PREPROCESSOR = "preprocessor_config.json"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXT_LENGTH = 35
# transformers once saved them; now it counts itself.
POSITIONS = r"(text_encoder|vision_model)\.embeddings\.position_ids"
COMMON_WORDS = "a dog"
PAD, CLS, SEP, FIRST_WORD = 0, 101, 102, 1000  # of BERT's vocabulary, which BLIP's extends

Tokenize = Callable[[Sequence[str]], tuple[Tensor, Tensor]]


def build_pocket() -> nn.Module:
    """BLIP with a ViT 96 wide, 4 deep, patch 4 at 32 pixels; text 96 wide, 2 deep; ITC space of 64."""
    # transformers' defaults (0.02, and 1e-10 for positions) are for loading checkpoints; from scratch they stall.
    scale = 96**-0.5
    shared = {"hidden_size": 96, "intermediate_size": 384, "num_attention_heads": 4, "initializer_range": scale}
    vision = shared | {"num_hidden_layers": 4, "image_size": 32, "patch_size": 4}
    text = shared | {
        "num_hidden_layers": 2, "encoder_hidden_size": 96, "vocab_size": words.SIZE, "max_position_embeddings": 64,
        "pad_token_id": words.PAD, "bos_token_id": words.BEGIN, "eos_token_id": words.END, "sep_token_id": words.END,
    }  # fmt: skip
    config = BlipConfig(vision_config=vision, text_config=text, image_text_hidden_size=64, initializer_range=scale)
    return BlipForImageTextRetrieval(config)


def build_full() -> nn.Module:
    """transformers' BLIP base at 384 pixels, without weights."""
    # transformers initialises the vision tower with a spread of 1e-10: to a random control all pictures were one.
    vision = {"image_size": 384, "initializer_range": 0.02}
    return BlipForImageTextRetrieval(BlipConfig(vision_config=vision, image_text_hidden_size=256))


class FusedAttention(nn.Module):
    """BLIP's vision attention through ``scaled_dot_product_attention``, which transformers does not offer for BLIP.

    Takes over the layers of a ``BlipAttention``, so that names of weights stay. ``[B, T, D] -> [B, T, D]``, and None
    for the weights that the library's eager attention returns. Raises ``RuntimeError`` where the library's module is
    not made as expected.
    """

    def __init__(self, eager: nn.Module):
        super().__init__()
        width = getattr(getattr(eager, "qkv", None), "in_features", None)
        heads, scale = getattr(eager, "num_heads", 0), getattr(eager, "scale", 0)
        if {name for name, _ in eager.named_children()} != {"dropout", "qkv", "projection"} or not (
            width and heads and eager.qkv.out_features == 3 * width and scale == (width // heads) ** -0.5
        ):
            raise RuntimeError(f"BLIP's vision attention is not as in transformers 5.23: {eager}")
        self.qkv, self.projection, self.heads = eager.qkv, eager.projection, heads

    def forward(self, hidden_states: Tensor, **_) -> tuple[Tensor, None]:
        query, key, value = self.qkv(hidden_states).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.projection(mixed.transpose(1, 2).flatten(2)), None


class Blip(nn.Module):
    """Hidden states of both towers for students, ITC embeddings for the teacher's own similarities."""

    scale = 1 / 0.07

    def __init__(
        self,
        model: nn.Module,
        tokenize: Tokenize,
        reduce_to: int,
        tokenizer: dict | None = None,
        provenance: dict | None = None,
    ):
        super().__init__()
        self.model, self.tokenize, self.reduce_to = model, tokenize, reduce_to
        self.tokenizer, self.provenance = tokenizer, provenance
        self.size = model.config.vision_config.image_size
        self.transform = transform_of(self.size, MEAN, STD)
        # The last layer stays as it is: its weights are the attention map.
        for layer in model.vision_model.encoder.layers[:-1]:
            layer.self_attn = FusedAttention(layer.self_attn)

    def vision(self) -> nn.Module:
        return self.model.vision_model

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        with attention_of(self, self.model.vision_model.encoder.layers[-1].self_attn) as maps:
            output = self.model.vision_model(pixel_values=prepare(pixels, **self.transform))
        hidden = output.last_hidden_state
        with in_float32(hidden.device):
            joint = unit(self.model.vision_proj(hidden[:, 0].float()))
        rows = maps[0][:, :, 0].float().mean(dim=1)
        return ImageFeatures(hidden[:, 0], hidden[:, 1:], to_patches(rows), joint)

    def lengths(self, captions: Sequence[str]) -> Tensor:
        """How many tokens each caption has: int64 ``[C]``."""
        return self.tokenize(captions)[1].sum(dim=1)

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> TextFeatures:
        ids, mask = self.tokenize(captions)
        tower, device = self.model.text_encoder, self.model.text_proj.weight.device
        # The tower's own forward would read from the device whether there is any padding: its two parts are asked instead.
        added = (1.0 - mask[:, None, None]) * torch.finfo(torch.float32).min
        embedded = tower.embeddings(input_ids=sent(ids, device))
        hidden = tower.encoder(embedded, attention_mask=sent(added, device)).last_hidden_state
        with in_float32(device):
            joint = unit(self.model.text_proj(hidden[:, 0].float()))
        return TextFeatures(hidden[:, 0], hidden, mask.sum(dim=1), joint)


def load(weights: Weights) -> Blip:
    if weights.is_pocket:
        model, origin = load_pocket(random_like(build_pocket), "blip", "transformers", weights)
        return Blip(model, tokenize_pocket, 64, {"name": "words of scenes", "length": words.CONTEXT}, origin)
    if weights.kind == "pretrained":
        model, tokenizer, facts, origin = _load_full(weights)
        return Blip(model, partial(tokenize_full, tokenizer), 512, facts, origin)
    tokenizer = {"name": "hashed words (random control)", "length": TEXT_LENGTH}
    origin = provenance("transformers", "BlipForImageTextRetrieval", "random")
    return Blip(random_like(build_full), tokenize_hashed, 512, tokenizer, origin)


def _load_full(weights: Weights) -> tuple:
    """The pretrained model, its tokenizer, the tokenizer's facts and the weights' provenance.

    A local path is a folder as ``save_pretrained`` leaves it, for the model and for its tokenizer. Raises
    :class:`WeightsError` where the weights cannot be had or do not fit.
    """
    if weights.path and not Path(weights.path).expanduser().is_dir():
        raise WeightsError(
            f"teacher blip: {weights.path} is not a folder; path: must name one with {', '.join(BESIDE)}"
        )
    beside = BESIDE if weights.path else (*BESIDE, PREPROCESSOR)
    checkpoint = locate(Source("blip", FULL, FILES, beside, weights.path, weights.revision))
    model = random_like(lambda: _read(checkpoint.file))
    folder = checkpoint.file.parent
    theirs, size = read_config(folder / PREPROCESSOR), model.config.vision_config.image_size
    ours = {"image_mean": MEAN, "image_std": STD, "resample": 3}  # 3 is Pillow's bicubic
    ours["size"] = size if isinstance(theirs.get("size"), int) else {"height": size, "width": size}
    check_facts("blip", folder / PREPROCESSOR, {name: (theirs.get(name), value) for name, value in ours.items()})
    tokenizer, facts = _read_tokenizer(folder)
    return model, tokenizer, facts, checkpoint.provenance("transformers", "BlipForImageTextRetrieval")


def _read(file: Path) -> nn.Module:
    """The model in ``file``'s folder. Raises :class:`WeightsError` unless the weights fill it exactly."""
    config = read_config(file.parent / "config.json")
    model = BlipForImageTextRetrieval(BlipConfig.from_dict(config))
    towers = {name: getattr(model.config, name) for name in ("vision_config", "text_config")}
    check_facts(
        "blip",
        file.parent / "config.json",
        {f"{name}.hidden_act": (t.hidden_act, "gelu") for name, t in towers.items()},
    )
    made_for = ", ".join(config.get("architectures") or ["no class"])
    hint = f" (its config.json names {made_for}; only BlipForImageTextRetrieval fits)"
    return fill(model, read_tensors(file), "blip", file, POSITIONS, hint)


def _read_tokenizer(folder: Path) -> tuple:
    """The checkpoint's own tokenizer and its facts. Raises :class:`WeightsError` where it is damaged or knows no English."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        known = tokenizer.unk_token_id not in tokenizer(COMMON_WORDS).input_ids
    except Exception as error:  # of transformers, tokenizers or JSON: nothing names what a damaged file raises
        raise WeightsError(
            f"teacher blip: the tokenizer in {folder} cannot be read ({error}); fetch it again"
        ) from error
    if not known:
        raise WeightsError(f"teacher blip: the tokenizer in {folder} does not know the words {COMMON_WORDS!r}")
    digest = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()[:16]
    return tokenizer, {"name": type(tokenizer).__name__, "length": TEXT_LENGTH, "digest": digest}


def tokenize_pocket(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids ``[C, L]`` and their mask, CLS first."""
    ids = words.encode(captions, words.CLS)
    return ids, (ids != words.PAD).long()


def tokenize_full(tokenizer, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids ``[C, L]`` and their mask by the checkpoint's own tokenizer, cut to 35 tokens as BLIP does."""
    options = {"padding": "longest", "truncation": True, "max_length": TEXT_LENGTH, "return_tensors": "pt"}
    batch = tokenizer(list(captions), **options)
    return batch.input_ids, batch.attention_mask


def tokenize_hashed(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids ``[C, L]`` and their mask for random weights, which need no vocabulary: each word hashed to an id.

    The form is that of :func:`tokenize_full`: CLS first, SEP last, at most 35 tokens, ids below 30,522. It says nothing
    about language.
    """
    rows = [
        [CLS, *(FIRST_WORD + zlib.crc32(word.encode()) % (30_522 - FIRST_WORD) for word in caption.lower().split())]
        for caption in captions
    ]
    rows = [torch.tensor([*row[: TEXT_LENGTH - 1], SEP]) for row in rows]
    ids = pad_sequence(rows, batch_first=True, padding_value=PAD)
    return ids, (ids != PAD).long()
