"""Which cases share a training run, and what their fingerprints follow."""

import pytest

from bench.kit.errors import LocatedError
from bench.plan import fingerprint, matrix
from bench.plan.case import _checkpoint_digest
from tests.bench.plan.matrices import cases, load

PAPERS = {"projection", "bottleneck", "attention", "cbam", "resnet", "densenet"}


def test_cases_that_differ_only_in_epochs_share_a_run():
    short, long = (cases()[f"shapes-dino-cbam-{epochs}ep"] for epochs in (5, 10))
    assert short.run == long.run and short.run_fingerprint == long.run_fingerprint
    assert short.fingerprint != long.fingerprint


def test_cases_share_a_run_that_asks_no_teacher():
    """Pixels to labels; captions pass through the teacher's text tower, and a head reads its features."""
    alone = {name: case for name, case in cases(controls=("no-distillation",)).items() if case.control}
    dino, beit, clip, blip, head, other = (
        alone[f"{name}-5ep-no-distillation"]
        for name in ("shapes-dino-resnet", "shapes-beit-resnet", "scenes-clip-resnet", "scenes-blip-resnet",
                     "shapes-dino-cbam", "shapes-beit-cbam")
    )  # fmt: skip
    assert (dino.run, dino.run_fingerprint) == (
        beit.run,
        beit.run_fingerprint,
    ) and dino.run == "shapes-resnet-no-distillation"
    assert dino.fingerprint != beit.fingerprint  # each is compared with its own teacher
    for one, two in (
        (clip, blip),
        (head, other),
        (cases()["shapes-dino-resnet-5ep"], cases()["shapes-beit-resnet-5ep"]),
    ):
        assert one.run != two.run and one.run_fingerprint != two.run_fingerprint


def test_a_profile_names_the_students_whose_controls_are_trained(tmp_path):
    def controlled(**chosen):
        return {case.student for case in cases(**chosen).values() if case.control}

    assert controlled() == {"resnet", "densenet"}
    assert controlled(controls=("no-distillation",)) == PAPERS
    with pytest.raises(LocatedError, match="unknown student 'resnt', did you mean 'resnet'"):
        load(tmp_path, "trained_controls_of: [resnet,", "trained_controls_of: [resnt,")


def test_the_fingerprint_follows_what_decides_the_result(tmp_path):
    before = {name: case.fingerprint for name, case in cases().items()}
    changed = cases(load(tmp_path, "overrides: {}", "overrides: {resnet: {learning_rate: 2.0e-3}}"))
    differ = {name for name in before if before[name] != changed[name].fingerprint}
    assert differ == {name for name in before if "-resnet-" in name}


def test_what_part_of_a_picture_a_teacher_sees_decides(tmp_path):
    published = load(tmp_path, "geometry: squash ", "geometry: published ")
    (squash,), (other,) = (cases(one, "efficientnet-squash").values() for one in (None, published))
    assert (squash.geometry, other.geometry) == ("squash", "published") and squash.fingerprint != other.fingerprint
    assert {case.geometry for case in cases().values()} == {"published"}


def test_the_order_of_controls_decides_nothing(tmp_path):
    same = load(tmp_path, "controls: [untrained, teacher, raw-pixels]", "controls: [raw-pixels, teacher, untrained]")
    (name, case), *_ = cases(same).items()
    assert case.controls == ("untrained", "teacher", "raw-pixels") and case.fingerprint == cases()[name].fingerprint


def test_the_fingerprint_follows_a_checkpoint_in_the_home_folder(tmp_path, monkeypatch):
    def of(path):
        _checkpoint_digest.cache_clear()
        fingerprint.digest.cache_clear()
        loaded = load(tmp_path, "teachers: {}", f"teachers: {{dino: {{path: {path}}}}}")
        drawn = loaded.profiles["paper"].model_copy(update={"pairs": {"shapes": ("dino",)}})
        return matrix.cases(loaded.model_copy(update={"profiles": {"paper": drawn}}), "paper")[0].fingerprint

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ck").mkdir()
    (tmp_path / "ck" / "model.safetensors").write_bytes(b"first")
    before = of("~/ck")
    assert before == of(tmp_path / "ck")
    (tmp_path / "ck" / "model.safetensors").write_bytes(b"other")
    assert before != of("~/ck") == of(tmp_path / "ck")
    assert of("ck") == of(tmp_path / "ck")  # a relative path is taken from the file's folder
    with pytest.raises(
        LocatedError, match=rf"matrix.yaml:\d+:\d+: teachers.dino.path: there is no {tmp_path}/gone/model$"
    ):
        of("gone/model")
