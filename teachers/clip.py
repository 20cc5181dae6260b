"""CLIP (Radford et al., 2103.00020): image and text in one space, patches and words through the same projections.

The ``openai`` weights were trained with QuickGELU; open_clip loads them into a plain-GELU ``ViT-B-32`` with no
more than a warning, so the loader asks for ``ViT-B-32-quickgelu``.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import open_clip
import torch
from open_clip.model import CLIP
from torch import Tensor, nn

from teachers import (
    ImageFeatures,
    TextFeatures,
    Weights,
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
from teachers._hub import Source, check_facts, fill, locate, provenance, read_config, read_tensors

KIND = "captions"
FULL, FULL_WEIGHTS = "ViT-B-32-quickgelu", "openai"
FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Printable ASCII without what could be an entity or a special token of open_clip. Cleaning it is lower case and single
# spaces: there is nothing to decode, to straighten or to unescape.
PLAIN = re.compile(r"[ -%'-;=-~]*")


def build_pocket() -> nn.Module:
    """CLIP with a ViT 96 wide, 4 deep, patch 4 at 32 pixels; text 96 wide, 3 deep; joint space of 64."""
    image = {"layers": 4, "width": 96, "head_width": 24, "patch_size": 4, "image_size": 32}
    text = {"context_length": words.CONTEXT, "vocab_size": words.SIZE, "width": 96, "heads": 4, "layers": 3}
    return CLIP(64, image, text, quick_gelu=True)


def build_full() -> nn.Module:
    """open_clip's ViT-B/32 with QuickGELU, without weights."""
    return CLIP(**open_clip.get_model_config(FULL))


class Clip(nn.Module):
    """Joint-space features of an open_clip model."""

    reduce_to = None

    def __init__(
        self,
        model: nn.Module,
        tokenize,
        tokenizer: dict | None = None,
        provenance: dict | None = None,
    ):
        super().__init__()
        self.model, self.tokenize = model, tokenize
        self.tokenizer, self.provenance = tokenizer, provenance
        self.size = model.visual.image_size[0]
        self.transform = transform_of(self.size, MEAN, STD, short_side=self.size)

    @property
    def scale(self) -> float:
        return math.exp(self.model.logit_scale.item())  # the same on every device

    def vision(self) -> nn.Module:
        return self.model.visual

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        visual = self.model.visual
        last = visual.transformer.resblocks[-1].attn
        wanted = {"need_weights": True, "average_attn_weights": True}
        ask = last.register_forward_pre_hook(lambda _, inputs, options: (inputs, options | wanted), with_kwargs=True)
        try:
            with attention_of(self, last) as maps:
                hidden = visual.transformer(visual._embeds(prepare(pixels, **self.transform)))
        finally:
            ask.remove()
        with in_float32(hidden.device):
            tokens = visual.ln_post(hidden.float()) @ visual.proj
        return ImageFeatures(tokens[:, 0], tokens[:, 1:], to_patches(maps[0][:, 0]), unit(tokens[:, 0]))

    def lengths(self, captions: Sequence[str]) -> Tensor:
        """How many tokens each caption has, up to the end-of-text token, whose id is the highest: int64 ``[C]``."""
        return self.tokenize(captions).argmax(dim=1) + 1

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> TextFeatures:
        model = self.model
        ids = self.tokenize(captions)
        lengths = ids.argmax(dim=1) + 1
        # Causal attention: cutting the padding after the longest caption changes nothing.
        length, device = int(lengths.max()), model.positional_embedding.device
        hidden = model.token_embedding(sent(ids[:, :length], device)) + model.positional_embedding[:length]
        hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
        with in_float32(device):
            tokens = model.ln_final(hidden.float()) @ model.text_projection
        pooled = tokens[torch.arange(len(ids), device=device), sent(lengths - 1, device)]
        return TextFeatures(pooled, tokens, lengths, unit(pooled))


class Tokenizer:
    """Captions to ids ``[C, length]`` as open_clip's tokenizer gives them, plain ones in a third of its time and on all cores.

    Its cleaning and its regular expression run in Python, which would keep a GPU waiting for half a minute for the 592,000
    captions of COCO.
    """

    def __init__(self, reference):
        from tokenizers import Regex, models, pre_tokenizers
        from tokenizers import Tokenizer as Compiled

        self.reference, self.length = reference, reference.context_length
        merges = list(reference.bpe_ranks)
        self.compiled = Compiled(models.BPE(vocab=reference.encoder, merges=merges, end_of_word_suffix="</w>"))
        words = Regex(reference.pat.pattern.split(">|")[-1])  # without the special tokens, which are never plain
        self.compiled.pre_tokenizer = pre_tokenizers.Split(words, "removed", invert=True)

    def __call__(self, captions: Sequence[str]) -> Tensor:
        plain = [row for row, caption in enumerate(captions) if PLAIN.fullmatch(caption)]
        cleaned = [" ".join(captions[row].split()).lower() for row in plain]
        ids = {row: encoded.ids for row, encoded in zip(plain, self.compiled.encode_batch_fast(cleaned), strict=True)}
        rows = [ids[row] if row in ids else self.reference.encode(text) for row, text in enumerate(captions)]
        begin, end, room = self.reference.sot_token_id, self.reference.eot_token_id, self.length - 2
        # Too long ones are cut, and end with the end of text all the same.
        rows = [[begin, *row[:room], end, *[0] * (room - len(row))] for row in rows]
        return torch.tensor(rows, dtype=torch.int64).view(len(rows), self.length)


def load(weights: Weights) -> Clip:
    if weights.is_pocket:
        model, origin = load_pocket(random_like(build_pocket), "clip", "open_clip", weights)
        tokenizer = {"name": "words of scenes", "length": words.CONTEXT}
        return Clip(model, lambda texts: words.encode(texts, words.BEGIN), tokenizer, origin)
    model, origin = random_like(build_full), provenance("open_clip", FULL, "random")
    if weights.kind == "pretrained":
        model, origin = _pretrained(model, weights)
    reference = open_clip.get_tokenizer(FULL)
    tokenizer = {"name": f"open_clip {type(reference).__name__}", "length": reference.context_length}
    return Clip(model, Tokenizer(reference), tokenizer, origin)


def _pretrained(model: nn.Module, weights: Weights) -> tuple[nn.Module, dict]:
    repository = open_clip.get_pretrained_cfg(FULL, FULL_WEIGHTS)["hf_hub"].rstrip("/")
    checkpoint = locate(Source("clip", repository, FILES, path=weights.path, revision=weights.revision))
    _check_config(checkpoint.file.parent / "open_clip_config.json")
    fill(model, read_tensors(checkpoint.file), "clip", checkpoint.file)
    name = FULL if weights.path else f"{FULL} {FULL_WEIGHTS}"  # nothing tells whose weights a local file holds
    return model, checkpoint.provenance("open_clip", name)


def _check_config(file: Path) -> None:
    """Compare open_clip's config, where one lies beside the weights, with what the teacher does."""
    config = read_config(file)
    architecture, theirs = config.get("model_cfg"), config.get("preprocess_cfg") or {}
    ours = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    facts = {name: (theirs.get(name), value) for name, value in ours.items()}
    # Where a model's config does not state it, open_clip takes plain GELU.
    quick = architecture.get("quick_gelu", False) if architecture else None
    check_facts("clip", file, facts | {"QuickGELU": (quick, True)})
