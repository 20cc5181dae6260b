"""MACs against hand counts and published figures: both counters, with fvcore's traps handled."""

import pytest
import torch
from torch import nn

from bench.measure.flops import macs, macs_without_weights

G = 1e9


def both(module, function, *inputs):
    """fvcore's count on the CPU, after checking that PyTorch's counter on the meta device agrees within 1.5 %."""
    counted = macs(function, [module], *inputs)
    module.to("meta")
    other = macs_without_weights(lambda *x: function(*x), *(given.to("meta") for given in inputs))
    assert counted == pytest.approx(other, rel=0.015)
    return counted


@pytest.mark.parametrize(("name", "expected"), [("resnet18", 1.82), ("densenet121", 2.87)])
def test_cnns(name, expected):
    """Published: 1.82 GMAC (He et al. say 1.8 G) and 2.87 GMAC at 224 px."""
    import timm

    model = timm.create_model(name).eval()
    assert both(model, model, torch.zeros(1, 3, 224, 224)) / G == pytest.approx(expected, abs=0.005)


def test_vit_b_16():
    """17.58 GMAC at 224 px: 12 blocks of 12 d^2 T + 2 T^2 d, patch embedding, classifier; fvcore adds 5 T d per norm."""
    import timm

    model = timm.create_model("vit_base_patch16_224").eval()
    tokens, width = 197, 768
    by_hand = 12 * (12 * width**2 * tokens + 2 * tokens**2 * width) + 196 * 768 * width + width * 1000
    by_hand += 25 * 5 * tokens * width
    counted = both(model, model, torch.zeros(1, 3, 224, 224))
    assert counted == pytest.approx(by_hand, rel=1e-4)
    assert counted / G == pytest.approx(17.58, abs=0.005)


def test_clip_towers():
    """4.41 GMAC for ViT-B/32 and 2.98 for 77 tokens of text."""
    from teachers.clip import build_full

    model = build_full().eval()
    assert both(model, model.encode_image, torch.zeros(1, 3, 224, 224)) / G == pytest.approx(4.41, abs=0.02)
    text = torch.zeros(1, 77, dtype=torch.long)
    assert both(model, model.encode_text, text) / G == pytest.approx(2.98, abs=0.02)


def test_multi_head_attention_is_not_free():
    """0.524 GMAC: 4 d^2 T + 2 T^2 d at d = 768, T = 197; the default count would be zero."""
    module = nn.MultiheadAttention(768, 8, batch_first=True).eval()
    tokens = torch.zeros(1, 197, 768)
    by_hand = 4 * 768**2 * 197 + 2 * 197**2 * 768
    assert both(module, lambda x: module(x, x, x, need_weights=False)[0], tokens) == pytest.approx(by_hand, rel=0.001)
    assert by_hand / G == pytest.approx(0.524, abs=0.001)


@pytest.mark.parametrize(("layer", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_are_not_free(layer, gates):
    """By hand: at each of 5 steps each gate multiplies 8 inputs and 16 states by 16, in both directions; the second layer
    has 32 inputs. timm's sequencer2d is made of LSTMs: 4.96 G of the 8.4 that its authors count (2205.01972) without."""

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer(8, 16, num_layers=2, batch_first=True, bidirectional=True)

        def forward(self, steps):
            return self.layer(steps)[0]

    module = First()
    by_hand = 5 * 2 * gates * ((8 + 16) * 16 + (32 + 16) * 16)
    assert macs(module, [module], torch.zeros(1, 5, 8)) == by_hand


def test_counting_leaves_the_fast_path_as_it_was():
    before = torch.backends.mha.get_fastpath_enabled()
    macs(nn.Linear(3, 4), [], torch.zeros(1, 3))
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_a_teacher_that_crops_is_counted_as_it_is_deployed():
    """fvcore traces the preprocessing too, in which sizes are tensors."""
    from teachers import load

    teacher = load("clip", "random")
    work = macs(lambda x: teacher.image(x).pooled, [teacher.vision()], torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert work / G == pytest.approx(4.41, abs=0.05)
