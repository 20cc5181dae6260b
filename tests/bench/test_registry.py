"""What the suite finds in its folders, and what `all` stands for."""

import shutil

from bench import registry
from bench.plan import matrix


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
