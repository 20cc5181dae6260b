"""The attention student computes what PyTorch's own multi-head attention would, averaged over the queries."""

import pytest
import torch

from bench.measure.flops import macs
from students import Dims
from students.attention import Attend, AttendText

DIMS = Dims(features=48, embedding=10)


@pytest.fixture(scope="module")
def built():
    """Towers with biases that are not zero, as they are after training."""
    torch.manual_seed(0)
    towers = Attend(DIMS), AttendText(DIMS)
    for tower in towers:
        torch.nn.init.normal_(tower.attention.in_proj_bias)
        torch.nn.init.normal_(tower.attention.out_proj.bias)
    return towers


def test_it_and_its_gradients_equal_pytorchs_attention(built):
    image, _ = built
    tokens = torch.randn(5, 17, 48)

    def gradients(embeddings):
        image.zero_grad()
        embeddings.square().sum().backward()
        return [parameter.grad.clone() for parameter in image.parameters()]

    mixed, weights = image.attention(tokens, tokens, tokens)
    expected = image.project(mixed.mean(dim=1))
    embeddings, attention = image(tokens)
    torch.testing.assert_close(embeddings, expected)
    torch.testing.assert_close(attention, weights.mean(dim=1)[:, 1:])
    torch.testing.assert_close(gradients(embeddings), gradients(expected), rtol=1e-4, atol=1e-4)


def test_captions_equal_pytorchs_attention_over_their_own_tokens(built):
    _, text = built
    tokens, lengths = torch.randn(4, 9, 48), torch.tensor([9, 1, 4, 2])
    embeddings = text(tokens, lengths)
    for caption, length in enumerate(lengths.tolist()):
        own = tokens[caption : caption + 1, :length]
        mixed, _ = text.attention(own, own, own)
        torch.testing.assert_close(embeddings[caption : caption + 1], text.project(mixed.mean(dim=1)))


def test_it_does_half_of_the_work():
    """By hand, 197 tokens of width 768: queries and keys, their products, 8 weighted means, values, out, projection."""
    tower = Attend(Dims(features=768, embedding=256))
    tokens, width = 197, 768
    expected = 2 * tokens * width**2 + tokens**2 * width + 8 * tokens * width + 2 * width**2 + width * 256
    assert macs(lambda x: tower(x)[0], [tower], torch.randn(1, tokens, width)) == expected
