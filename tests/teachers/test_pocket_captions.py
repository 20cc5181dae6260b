"""The pre-training of pocket teachers of captions, a few steps of it, and the cards of pocket teachers."""

from argparse import Namespace

import pytest
import torch

from bench.data import scenes
from bench.features.device import Device
from teachers import _words as words
from teachers.pocket import blip, clip, train


@pytest.fixture
def short(monkeypatch):
    for objective in (clip, blip):
        monkeypatch.setattr(objective, "STEPS", 3)
        monkeypatch.setattr(objective, "BATCH", 6)


def silent(*_, **__):
    pass


@pytest.mark.parametrize("objective", [clip, blip])
def test_training_moves_each_weight_the_same_way_each_time(objective, short):
    first, again = (objective.train(7, silent).state_dict() for _ in range(2))
    torch.manual_seed(7)
    fresh = dict(objective.build_pocket().named_parameters())
    assert all(torch.equal(first[key], again[key]) and first[key].isfinite().all() for key in first)
    assert {key for key, start in fresh.items() if torch.equal(start, first[key])} == set()


def test_batches_are_of_scenes_with_a_caption_of_their_own_and_none_comes_twice(monkeypatch):
    drawn = []

    def remembered(*arguments):
        drawn.append(draw(*arguments))
        return drawn[-1]

    draw = scenes.draw_scenes
    monkeypatch.setattr(clip, "REFRESH", 2)
    monkeypatch.setattr(scenes, "draw_scenes", remembered)
    batches = [*clip.scene_batches(3, 4, seed=1)]
    pixels, captions = torch.cat([pixels for pixels, _ in batches]), [one for _, many in batches for one in many]
    pools = [torch.from_numpy(pool) for pool, _, _ in drawn]
    assert torch.equal(pixels, torch.cat(pools)[:12]) and len(pools) == 2
    owned = [five for _, fives, _ in drawn for five in fives]
    assert all(caption in five for caption, five in zip(captions, owned, strict=False))
    assert len(pixels.flatten(1).unique(dim=0)) == 12


class TestBlip:
    CAPTIONS = ("a red ball", "two small blue cubes on a table")

    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        return blip.build_pocket().eval()

    def encoded(self, model):
        ids = words.encode(self.CAPTIONS, words.CLS)
        patches = model.vision_model(pixel_values=torch.rand(2, 3, 32, 32)).last_hidden_state
        return ids, (ids != words.PAD).long(), patches

    @torch.no_grad()
    def test_padding_has_no_part_in_the_captioning_loss(self, model):
        from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel

        ids, _, patches = self.encoded(model)
        decoder = BlipTextLMHeadModel(model.text_encoder.config).eval()
        longer = torch.nn.functional.pad(ids, (0, 3), value=words.PAD)
        losses = [blip._captioning_loss(decoder, patches, one, (one != words.PAD).long()) for one in (ids, longer)]
        assert torch.allclose(*losses, atol=1e-5)

    @torch.no_grad()
    def test_wrong_pairs_are_the_ones_that_are_taken_for_right_most(self, model):
        ids, mask, patches = self.encoded(model)
        ids, mask, patches = (torch.cat([one, one[:1]]) for one in (ids, mask, patches))
        logits = torch.full((3, 3), -50.0).fill_diagonal_(2)
        logits[[0, 1, 2], [1, 2, 0]] = 0  # after itself, each image takes the next caption for its own
        asked = []
        model.text_encoder.register_forward_pre_hook(lambda _, __, given: asked.append(given), with_kwargs=True)
        blip._match(model, patches, ids, mask, logits, torch.Generator().manual_seed(0))
        texts, images = asked[0]["input_ids"][:, 1:], asked[0]["encoder_hidden_states"]
        assert torch.equal(texts, torch.cat([ids, ids[[1, 2, 0]], ids])[:, 1:])
        assert torch.equal(images, torch.cat([patches, patches, patches[[2, 0, 1]]]))


@pytest.mark.parametrize("name", ["clip", "dino"])
def test_a_card_has_the_measured_figures_of_the_teacher_beside_those_of_its_untrained_network(name, monkeypatch):
    for count in ("BANK", "HELD_OUT", "GALLERY"):
        monkeypatch.setattr(train, count, 96)
    options = Namespace(name=name, dataset=None, seed=3, device="auto", precision="auto")
    card = train.card(options, Device("cpu", "fp32"), 2.0)
    rows = dict(line.strip("| ").split(" | ", 1) for line in card.splitlines() if line.startswith("| "))
    trained, untrained = (
        [float(value) for value in rows[what].split(" | ")] for what in ("this teacher", "the same network untrained")
    )
    assert all(mine > theirs for mine, theirs in zip(trained, untrained, strict=True))
    assert f"`python -m teachers.pocket.train {name} --seed 3`" in card and "pre-training seed 20003" in card
