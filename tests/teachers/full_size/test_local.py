"""Checkpoints from a local path, the same for every teacher: which are accepted and which refused."""

import json
from pathlib import Path

import pytest
import torch

from teachers import WeightsError
from tests.teachers.full_size.checkpoints import FILE, SMALL_BUILDERS, pretrained, saved, state_of


@pytest.mark.parametrize("name", SMALL_BUILDERS)
@pytest.mark.parametrize("form", ["file", "folder", "half", "pickle"])
def test_a_checkpoint_of_the_same_library_fills_the_teacher(name, form, small, tmp_path):
    state = state_of(name)
    given = {key: value.half() for key, value in state.items()} if form == "half" else state
    file = saved(given, tmp_path / ("weights.pth" if form == "pickle" else FILE[name]))
    teacher = pretrained(name, tmp_path if form == "folder" else file)
    loaded = teacher.model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], given[key].float()) for key in state)
    assert teacher.provenance["source"] == "local path" and teacher.provenance["file"] == file.name
    assert teacher.provenance["revision"] is None


SPOILS = {
    "1 missing: ": lambda state: state.pop(min(state)),
    r"1 unexpected: pooler\.dense\.weight": lambda state: state.update({"pooler.dense.weight": torch.zeros(3)}),
    "1 of another shape or type: (logit_scale|cls_token)": lambda state: state.update(
        {"logit_scale" if "logit_scale" in state else "cls_token": torch.zeros(1, 1, 33)}
    ),
    "1 not finite: ": lambda state: state[max(state)].view(-1)[-1:].fill_(float("inf")),
}


@pytest.mark.parametrize("name", SMALL_BUILDERS)
@pytest.mark.parametrize("fault", SPOILS)
def test_one_wrong_tensor_is_enough_to_refuse(name, fault, small, tmp_path):
    state = state_of(name)
    SPOILS[fault](state)
    with pytest.raises(WeightsError, match=fault) as refusal:
        pretrained(name, saved(state, tmp_path / FILE[name]))
    assert str(tmp_path / FILE[name]) in str(refusal.value)


class Bomb:
    """Pickled, it writes a file when it is read without care."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.write_text, (self.trace, "code ran")


def test_code_in_a_pickle_is_refused_and_does_not_run(small, tmp_path, retrieval):
    (retrieval / "model.safetensors").unlink()
    for name, file in (("dino", tmp_path / "dino.pth"), ("blip", retrieval / "pytorch_model.bin")):
        torch.save({"cls_token": Bomb(tmp_path / "trace")}, file)
        with pytest.raises(WeightsError, match="not a pickle of tensors only"):
            pretrained(name, retrieval if name == "blip" else file)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["dino", "beit", "clip", "blip"])
def test_a_path_that_is_not_there_is_named(name, small, tmp_path):
    with pytest.raises(WeightsError, match=f"teacher {name}: .*nowhere"):
        pretrained(name, tmp_path / "nowhere")


STRANGE = {
    "nested": lambda file: torch.save({"model": {"cls_token": torch.zeros(3)}}, file),
    "text": lambda file: file.write_text("abc"),
    "empty": lambda file: torch.save({}, file),
    "numbered": lambda file: torch.save({0: torch.zeros(3)}, file),
    "numbers": lambda file: torch.save({"head.weight": torch.tensor(1.0)}, file),
    "TorchScript": lambda file: torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file),
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", ["dino", "clip"])
def test_strange_checkpoints_are_refused_by_name(name, kind, small, tmp_path):
    file = tmp_path / "strange.pth"
    STRANGE[kind](file)
    with pytest.raises(WeightsError, match=str(file)) as refusal:
        pretrained(name, file)
    assert "weights_only" not in str(refusal.value)


@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn, torch.float64])
def test_values_that_lost_their_scale_or_have_no_place_in_float32_are_refused(kind, small, tmp_path):
    state = state_of("dino")
    state["cls_token"] = torch.full_like(state["cls_token"], 1e300, dtype=torch.float64).to(kind)
    with pytest.raises(WeightsError, match=r"1 (of another shape or type|not finite): cls_token"):
        pretrained("dino", saved(state, tmp_path / "model.pth"))


@pytest.mark.parametrize(
    ("name", "beside", "content"),
    [("dino", "config.json", {"pretrained_cfg": None}), ("clip", "open_clip_config.json", {"model_cfg": None}),
     ("clip", "open_clip_config.json", {"preprocess_cfg": None})],
)  # fmt: skip
def test_a_config_that_says_nothing_is_passed_over(name, beside, content, small, tmp_path):
    file = saved(state_of(name), tmp_path / FILE[name])
    (tmp_path / beside).write_text(json.dumps(content))
    assert pretrained(name, file).provenance["source"] == "local path"


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, pytest.fail.Exception, MemoryError])
def test_what_stops_the_reading_is_not_taken_for_damage(stopped, small, tmp_path, monkeypatch):
    file = saved(state_of("dino"), tmp_path / FILE["dino"])
    monkeypatch.setattr("safetensors.torch.load_file", lambda path: (_ for _ in ()).throw(stopped("now")))
    with pytest.raises(stopped, match="now"):
        pretrained("dino", file)
