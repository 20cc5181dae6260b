"""What the suite finds in its folders, and what `all` stands for."""

import shutil
import sys
from types import ModuleType

import pytest

import students
import teachers
from bench import data, registry
from bench.kit.errors import LocatedError, UserError
from bench.plan import matrix
from bench.training.losses import Criterion, Widths
from students import Dims


def test_a_student_or_teacher_is_found_by_being_there_and_a_student_joins_by_name(tmp_path, monkeypatch):
    for kind, copied, name in (("student", "projection", "mine"), ("teacher", "clip", "other_one")):
        folder = tmp_path / kind
        shutil.copytree(registry.FOLDERS[kind], folder)
        shutil.copyfile(folder / f"{copied}.py", folder / f"{name}.py")
        monkeypatch.setitem(registry.FOLDERS, kind, folder)
    shutil.copyfile(folder / "pocket" / "clip.safetensors", folder / "pocket" / "other-one.safetensors")
    ids = [case.id for case in matrix.cases(matrix.load(), "pocket", controls=())]
    assert len(ids) == 5 * 6 * 2  # the paper's six students
    assert "scenes-other-one-cbam-10ep" in ids
    assert not [name for name in ids if "mine" in name]
    file = tmp_path / "matrix.yaml"
    file.write_text(matrix.DEFAULT.read_text().replace("students: all ", "students: [mine] ", 1))
    assert "shapes-dino-mine-5ep" in [case.id for case in matrix.cases(matrix.load(file), "pocket")]
    assert not [name for name in ids if name.startswith("shapes-other")]


def test_all_teachers_of_a_pocket_profile_are_those_with_shipped_weights():
    assert "efficientnet" in registry.teachers_for("shapes")
    profiles = matrix.load().profiles
    assert profiles["pocket"].pairs == {"shapes": ("dino", "beit"), "scenes": ("clip", "blip")}
    assert profiles["real-pocket"].pairs == {"tiny-imagenet": ("dino", "beit")}


def test_a_clone_that_lost_a_teachers_weights_does_not_go_on_without_the_teacher(tmp_path, monkeypatch):
    folder = tmp_path / "teacher"
    shutil.copytree(registry.FOLDERS["teacher"], folder)
    monkeypatch.setitem(registry.FOLDERS, "teacher", folder)
    (folder / "pocket" / "blip.safetensors").unlink()
    assert registry.teachers_for("scenes", "pocket") == ("clip", "blip")
    (folder / "pocket" / "blip.md").unlink()
    assert registry.teachers_for("scenes", "pocket") == ("clip",)


@pytest.mark.parametrize(
    ("kind", "name", "line", "message"),
    [
        ("student", "mine", "READS = 'pixel'", "mine.py: unknown READS 'pixel', did you mean 'pixels'?"),
        ("student", "mine", "TEXT_READS = 'pixels'", "mine.py: unknown TEXT_READS 'pixels', known: pooled, tokens"),
        ("loss", "mine", "NEEDS = 'all'", "mine.py: unknown NEEDS 'all', known: any, images, "),
        ("loss", "mine", "TARGETS = 'joint'", r"mine.py: TARGETS is 'joint', expected a tuple like \('joint',\)"),
        ("loss", "mine", "TARGETS = ('joint', 'label')", "mine.py: unknown TARGETS 'label', did you mean 'labels'?"),
        ("student", "my-own", "READS = 'pixels'", "my_own.py is not there; .* has '_' where the name has '-'"),
    ],
)
def test_a_fact_of_a_file_that_means_nothing_is_refused_by_the_plan(kind, name, line, message, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.FOLDERS, kind, tmp_path)
    (tmp_path / f"{name}.py").write_text(line + "\n")
    with pytest.raises(LocatedError, match=message):
        registry.constant(kind, name, line.split(" ")[0])


def test_the_facts_of_all_files_are_known():
    for kind, variable in registry.ALLOWED:
        for name in registry.names(kind):
            registry.constant(kind, name, variable)


@pytest.mark.parametrize(
    ("name", "made", "message"),
    [
        ("students.mine", lambda: students.build("mine", Dims(4), "images"), "students/mine.py defines no image_tower"),
        ("teachers.mine", lambda: teachers.load("mine", "random"), "teachers/mine.py defines no load"),
        ("bench.data.mine", lambda: data.load("mine", "train", 1), "bench/data/mine.py defines no load"),
        (
            "bench.training.losses.mine",
            lambda: Criterion("mine", Widths(4, 4), 0),
            "bench/training/losses/mine.py defines no Loss",
        ),
    ],
)
def test_a_file_that_lacks_what_it_must_define_is_named(monkeypatch, name, made, message):
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(UserError, match=f"{message}: docs/extending.md"):
        made()
