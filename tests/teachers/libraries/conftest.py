"""Models of libraries with few of their layers."""

import pytest
import timm
from open_clip import factory

# What timm calls the layers of a model whose name begins so, and how many are built.
LAYERS = {
    ("vit_", "deit", "naflexvit", "beit", "eva02", "aimv2", "xcit"): {"depth": 2},
    ("swin", "twins", "davit", "pvt_v2", "convnext"): {"depths": (1, 1, 1, 1)},
}


@pytest.fixture(scope="module")
def few_layers():
    """Libraries build few layers of many models, and text towers of few words."""
    create, configured = timm.create_model, factory.get_model_config

    def created(name, *args, **options):
        few = next((layers for beginnings, layers in LAYERS.items() if name.startswith(beginnings)), {})
        return create(name, *args, **few | options)

    def config(name):
        content = configured(name)
        for part in (content[key] for key in ("vision_cfg", "text_cfg", "multimodal_cfg") if key in content):
            # A list is of a ResNet's stages.
            part |= {"layers": 2} if isinstance(part.get("layers"), int) else {}
            part |= {"vocab_size": 1000} if "vocab_size" in part else {}
        return content

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", created)
        patch.setattr(factory, "get_model_config", config)
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else a tokenizer is asked for ten times
        yield
