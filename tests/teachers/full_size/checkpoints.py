"""Checkpoints that the libraries themselves make, of small configurations, for the loaders of full-size teachers."""

from pathlib import Path

import timm
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from transformers import BlipConfig

import teachers
from teachers import Weights

CAPTIONS = ["a dog", "two cats on the red mat of a house that stands by the sea", "the mat"]
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}


def small_dino():
    return timm.create_model("vit_base_patch16_224.dino", num_classes=0, **SMALL)


def small_beit(classes: int = 0):
    return timm.create_model("beit_base_patch16_224.in22k_ft_in22k", num_classes=classes, **SMALL)


def small_clip():
    image = {"layers": 2, "width": 32, "head_width": 8, "patch_size": 8, "image_size": 32}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2}
    return CLIP(16, image, text, quick_gelu=True)


BLIP = BlipConfig(
    vision_config={
        "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3,
        "image_size": 32, "patch_size": 8, "initializer_range": 0.2,
    },
    text_config={
        "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
        "encoder_hidden_size": 32, "vocab_size": 40, "bos_token_id": 4, "sep_token_id": 3, "initializer_range": 0.2,
    },
    image_text_hidden_size=16,
)  # fmt: skip
SMALL_BUILDERS = {"dino": small_dino, "beit": small_beit, "clip": small_clip}
FILE = {"dino": "model.safetensors", "beit": "model.safetensors", "clip": "open_clip_model.safetensors"}
REPOSITORY = {
    "dino": "timm/vit_base_patch16_224.dino",
    "beit": "timm/beit_base_patch16_224.in22k_ft_in22k",
    "clip": "timm/vit_base_patch32_clip_224.openai",
    "blip": "Salesforce/blip-itm-base-coco",
}
PROCESSOR = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": {"height": 32, "width": 32},
}


def state_of(name: str) -> dict[str, torch.Tensor]:
    """A small checkpoint whose values no builder gives."""
    return {key: tensor.detach() * 1.5 + 0.1 for key, tensor in SMALL_BUILDERS[name]().state_dict().items()}


def saved(state: dict, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file({key: tensor.contiguous().clone() for key, tensor in state.items()}, file)
    else:
        torch.save(state, file)
    return file


def pretrained(name: str, path: Path):
    return teachers.load(name, Weights("pretrained", path=path))


def pixels_of(teacher, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, teacher.size, teacher.size), generator=generator, dtype=torch.uint8)
