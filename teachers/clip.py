"""CLIP (Radford et al., 2103.00020): image and text in one space, patches and words through the same projections.

The ``openai`` weights were trained with QuickGELU; open_clip loads them into a plain-GELU ``ViT-B-32`` with no
more than a warning, so the loader asks for ``ViT-B-32-quickgelu`` and checks the activation.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from teachers import ImageFeatures, TextFeatures, check_weights, load_pocket, prepare, random_like, to_patches, unit

KIND = "captions"
FULL, FULL_WEIGHTS = "ViT-B-32-quickgelu", "openai"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def build_pocket() -> nn.Module:
    """CLIP with a ViT 96 wide, 4 deep, patch 4 at 32 pixels; text 96 wide, 3 deep; joint space of 64."""
    from open_clip.model import CLIP

    from teachers.pocket import words

    image = {"layers": 4, "width": 96, "head_width": 24, "patch_size": 4, "image_size": 32}
    text = {"context_length": words.CONTEXT, "vocab_size": words.SIZE, "width": 96, "heads": 4, "layers": 3}
    return CLIP(64, image, text, quick_gelu=True)


def build_full(pretrained: bool) -> nn.Module:
    """open_clip's ViT-B/32 with QuickGELU and OpenAI's weights, or random ones."""
    import open_clip

    device = torch.get_default_device()
    return open_clip.create_model(FULL, pretrained=FULL_WEIGHTS if pretrained else None, device=device)


class Clip(nn.Module):
    """Joint-space features of an open_clip model."""

    reduce_to = None

    def __init__(self, model: nn.Module, tokenize):
        super().__init__()
        from open_clip.transformer import QuickGELU

        if not any(isinstance(module, QuickGELU) for module in model.visual.modules()):
            raise RuntimeError("this CLIP has no QuickGELU, which its weights were trained with")
        self.model, self.tokenize = model, tokenize
        self.size = model.visual.image_size[0]

    @property
    def scale(self) -> float:
        return self.model.logit_scale.exp().item()

    def vision(self) -> nn.Module:
        return self.model.visual

    @torch.no_grad()
    def image(self, pixels: Tensor) -> ImageFeatures:
        visual = self.model.visual
        last, maps = visual.transformer.resblocks[-1].attn, []
        ask = last.register_forward_pre_hook(_with_weights, with_kwargs=True)
        keep = last.register_forward_hook(lambda _, inputs, output: maps.append(output[1]))
        try:
            hidden = visual.transformer(visual._embeds(prepare(pixels, self.size, MEAN, STD)))
        finally:
            ask.remove()
            keep.remove()
        tokens = visual.ln_post(hidden) @ visual.proj
        return ImageFeatures(tokens[:, 0], tokens[:, 1:], to_patches(maps[0][:, 0]), unit(tokens[:, 0]))

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> TextFeatures:
        model = self.model
        ids = self.tokenize(captions).to(model.positional_embedding.device)
        ends = ids.argmax(dim=1)
        # Causal attention: cutting the padding after the longest caption changes nothing.
        length = int(ends.max()) + 1
        hidden = model.token_embedding(ids[:, :length]) + model.positional_embedding[:length]
        hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
        tokens = model.ln_final(hidden) @ model.text_projection
        pooled = tokens[torch.arange(len(ids), device=ids.device), ends]
        return TextFeatures(pooled, tokens, ends + 1, unit(pooled))


def load(weights: str) -> Clip:
    check_weights("clip", weights)
    if weights == "pocket":
        from teachers.pocket import words

        return Clip(load_pocket(random_like(build_pocket), "clip"), lambda texts: words.encode(texts, words.BEGIN))
    import open_clip

    return Clip(random_like(lambda: build_full(weights == "pretrained")), open_clip.get_tokenizer(FULL))


def _with_weights(_, inputs, options):
    return inputs, {**options, "need_weights": True, "average_attn_weights": True}
