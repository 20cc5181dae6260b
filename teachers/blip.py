"""BLIP (Li et al., 2201.12086): contrastive, matching and language-modelling pre-training.

``BlipForImageTextRetrieval`` is the class that BLIP's retrieval checkpoints fit. ``BlipModel`` is a trap: no
published checkpoint fits it, and its text tower, projections and logit scale come out random (transformers
issue 28034). The retrieval class has no logit scale, so BLIP's own temperature 0.07 is stated here.

Students read the hidden states, reduced by a PCA fitted on training features (``reduce_to``); the teacher's
own similarities come from its ITC projections.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

from teachers import (
    ImageFeatures,
    TextFeatures,
    attention_of,
    check_weights,
    load_pocket,
    prepare,
    random_like,
    to_patches,
    unit,
)

KIND = "captions"
FULL = "Salesforce/blip-itm-base-coco"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXT_LENGTH = 35


def build_pocket() -> nn.Module:
    """BLIP with a ViT 96 wide, 4 deep, patch 4 at 32 pixels; text 96 wide, 2 deep; ITC space of 64."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    from teachers.pocket import words

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


def build_full(pretrained: bool) -> nn.Module:
    """transformers' BLIP base with the ITM-COCO checkpoint, or random weights."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    if not pretrained:
        config = BlipConfig(vision_config={"image_size": 384}, image_text_hidden_size=256)
        return BlipForImageTextRetrieval(config)
    model, found = BlipForImageTextRetrieval.from_pretrained(FULL, output_loading_info=True)
    if found["missing_keys"] or found["unexpected_keys"] or found["mismatched_keys"]:
        raise RuntimeError(f"{FULL} does not fill BlipForImageTextRetrieval: {found}")
    return model


class Blip(nn.Module):
    """Hidden states of both towers for students, ITC embeddings for the teacher's own similarities."""

    scale = 1 / 0.07

    def __init__(self, model: nn.Module, tokenize, reduce_to: int):
        super().__init__()
        self.model, self.tokenize, self.reduce_to = model, tokenize, reduce_to
        self.size = model.config.vision_config.image_size

    def vision(self) -> nn.Module:
        return self.model.vision_model

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        with attention_of(self.model.vision_model.encoder.layers[-1].self_attn.dropout) as maps:
            output = self.model.vision_model(pixel_values=prepare(pixels, self.size, MEAN, STD))
        hidden = output.last_hidden_state
        joint = unit(self.model.vision_proj(hidden[:, 0]))
        return ImageFeatures(hidden[:, 0], hidden[:, 1:], to_patches(maps[0].mean(dim=1)[:, 0]), joint)

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> TextFeatures:
        ids, mask = self.tokenize(captions)
        device = self.model.text_proj.weight.device
        ids, mask = ids.to(device), mask.to(device)
        hidden = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        joint = unit(self.model.text_proj(hidden[:, 0]))
        return TextFeatures(hidden[:, 0], hidden, mask.sum(dim=1), joint)


def load(weights: str) -> Blip:
    check_weights("blip", weights)
    if weights == "pocket":
        return Blip(load_pocket(random_like(build_pocket), "blip"), tokenize_pocket, reduce_to=64)
    return Blip(random_like(lambda: build_full(weights == "pretrained")), tokenize_full, reduce_to=512)


def tokenize_pocket(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids ``[C, L]`` and their mask, CLS first."""
    from teachers.pocket import words

    ids = words.encode(captions, words.CLS)
    return ids, (ids != words.PAD).long()


def tokenize_full(captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids ``[C, L]`` and their mask by the checkpoint's own tokenizer, cut to 35 tokens as BLIP does."""
    options = {"padding": "longest", "truncation": True, "max_length": TEXT_LENGTH, "return_tensors": "pt"}
    batch = _full_tokenizer()(list(captions), **options)
    return batch.input_ids, batch.attention_mask


@cache
def _full_tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FULL)
