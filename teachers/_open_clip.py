"""The towers of open_clip's models, their last features beside what ``encode_image`` and ``encode_text`` give."""

from open_clip.hf_model import HFTextEncoder
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import TextTransformer, VisionTransformer, text_global_pool
from torch import Tensor, nn

from teachers import in_float32


def encode_image(visual: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """An image tower's output ``[B, E]`` and its last features, those of a ViT in the same space where it can be.

    Raises ``TypeError`` for a tower that is not known here.
    """
    if isinstance(visual, TimmModel):
        features = visual.trunk.forward_features(inputs)
        with in_float32(inputs.device):
            return visual.head(visual.trunk.forward_head(features.float())), features
    if isinstance(visual, ModifiedResNet):
        features = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(inputs)))))
        return visual.attnpool(features), features
    if not isinstance(visual, VisionTransformer):
        raise TypeError(f"the image tower is a {type(visual).__name__}")
    hidden = visual.transformer(visual._embeds(inputs))
    with in_float32(inputs.device):
        pooled, _ = visual._pool(hidden.float())
        pooled = pooled if visual.proj is None else pooled @ visual.proj
        if visual.attn_pool is not None:
            return pooled, hidden
        tokens = visual.ln_post(hidden.float())
        return pooled, tokens if visual.proj is None else tokens @ visual.proj


def encode_text(model: nn.Module, ids: Tensor) -> tuple[Tensor, Tensor]:
    """A text tower's output ``[C, E]`` and its tokens in the same space ``[C, L, E]``, for ids of any length."""
    tower = getattr(model, "text", model)
    if isinstance(tower, HFTextEncoder):
        mask = (ids != tower.config.pad_token_id).long()
        output = tower.transformer(input_ids=ids, attention_mask=mask)
        with in_float32(ids.device):
            return tower.proj(tower.pooler(output, mask).float()), tower.proj(output.last_hidden_state.float())
    length = ids.shape[1]
    if isinstance(tower, TextTransformer):
        embedded, mask = tower._embeds(ids)
    else:
        embedded, mask = tower.token_embedding(ids) + tower.positional_embedding[:length], tower.attn_mask
    mask = mask if mask is None or mask.ndim == 3 else mask[:length, :length]
    hidden = tower.transformer(embedded, attn_mask=mask)
    with in_float32(ids.device):
        hidden, project = tower.ln_final(hidden.float()), tower.text_projection
        if getattr(tower, "cls_emb", None) is not None:
            pooled, hidden = hidden[:, -1], hidden[:, :-1]
        else:
            kind = getattr(tower, "text_pool_type", None) or tower.pool_type
            end = getattr(tower, "text_eos_id", None) or getattr(tower, "eos_id", None)
            pooled = text_global_pool(hidden, ids, pool_type=kind, eos_token_id=end)
        if project is None:
            return pooled, hidden
        return (
            (project(pooled), project(hidden))
            if isinstance(project, nn.Linear)
            else (pooled @ project, hidden @ project)
        )
