"""Pre-trains the pocket BLIP: contrastive, matching and language-modelling losses (Li et al., 2201.12086).

As in BLIP, the matching encoder is the text encoder with cross-attention to the image and hard negatives drawn
from the contrastive similarities, and the decoder shares all of the text encoder but self-attention and the
output layer. The decoder is dropped afterwards: the shipped model is ``BlipForImageTextRetrieval``. Left out:
the momentum encoder and its queue.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.losses.contrastive import contrastive
from teachers import _words as words
from teachers import prepare, unit
from teachers.blip import MEAN, STD, build_pocket
from teachers.pocket.clip import scene_batches
from teachers.pocket.steps import cosine, descend

STEPS, BATCH = 2400, 96


def train(seed: int, report) -> nn.Module:
    """Train on freshly drawn scenes; each image meets one of its captions at random."""
    from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build_pocket().train()
    decoder = BlipTextLMHeadModel(model.text_encoder.config).train()
    _share(model.text_encoder, decoder.bert)
    scale = nn.Parameter(torch.tensor(1 / 0.07).log())
    parameters = list({id(p): p for p in [*model.parameters(), *decoder.parameters(), scale]}.values())
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05)
    for step, (pixels, captions) in enumerate(scene_batches(STEPS, BATCH, seed)):
        patches = model.vision_model(pixel_values=prepare(pixels, 32, MEAN, STD)).last_hidden_state
        ids = words.encode(captions, words.CLS)
        mask = (ids != words.PAD).long()
        hidden = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        images, texts = unit(model.vision_proj(patches[:, 0])), unit(model.text_proj(hidden[:, 0]))
        logits = scale.exp() * images @ texts.T
        matching = _match(model, patches, ids, mask, logits, generator)
        language = _captioning_loss(decoder, patches, ids, mask)
        contrast = contrastive(logits)
        descend(contrast + matching + language, optimiser, parameters, cosine(step, STEPS, 100, 1e-3))
        with torch.no_grad():
            scale.clamp_(0, 4.6052)
        if step % 100 == 99:
            report(step + 1, STEPS, itc=contrast.item(), itm=matching.item(), lm=language.item())
    return model


def _share(encoder: nn.Module, decoder: nn.Module) -> None:
    """Let the decoder use the encoder's embeddings, cross-attention and feed-forward layers."""
    decoder.embeddings = encoder.embeddings
    for mine, theirs in zip(decoder.encoder.layer, encoder.encoder.layer, strict=True):
        mine.crossattention, mine.intermediate, mine.output = theirs.crossattention, theirs.intermediate, theirs.output


def _match(model, patches, ids, mask, logits, generator) -> Tensor:
    """Binary matching of true pairs against hard negatives in both directions."""
    count = len(ids)
    with torch.no_grad():
        chances = [side.softmax(dim=1).fill_diagonal_(0) + 1e-8 for side in (logits, logits.T)]
        wrong_text, wrong_image = (torch.multinomial(rows, 1, generator=generator)[:, 0] for rows in chances)
    asked = ids.clone()
    asked[:, 0] = words.ENCODE
    images = torch.cat([patches, patches, patches[wrong_image]])
    texts, masks = torch.cat([asked, asked[wrong_text], asked]), torch.cat([mask, mask[wrong_text], mask])
    hidden = model.text_encoder(input_ids=texts, attention_mask=masks, encoder_hidden_states=images).last_hidden_state
    answer = torch.cat([torch.ones(count), torch.zeros(2 * count)]).long()
    return F.cross_entropy(model.itm_head(hidden[:, 0]), answer)


def _captioning_loss(decoder: nn.Module, patches: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Next-word loss of the caption given the image."""
    inputs = ids.clone()
    inputs[:, 0] = words.BEGIN
    output = decoder(input_ids=inputs, attention_mask=mask, encoder_hidden_states=patches, is_decoder=True)
    targets = inputs[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
    return F.cross_entropy(output.logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=-100)
