"""Students that a matrix declares: what cannot be trained is refused when the profile that names it is planned."""

import pytest

from bench.declared import LibraryStudent
from bench.kit.errors import LocatedError
from bench.plan import matrix

MATRIX = """
students:
  small: {timm: mobilenetv4_conv_small_050, size: 48}
  same: {timm: resnet10t}
  wrong: {timm: mobilenetv4_conv_smal}
  large: {timm: ghostnetv3_100}
profiles:
"""
PROFILE = """
  {name}:
    weights: pocket
    pairs: {{shapes: [dino]}}
    students: [{students}]
    epochs: [1]
    seeds: [0]
    samples: {{train: 64, test: 64}}
    widths: {{embedding: 16, bottleneck: 8, trunk: pocket}}
"""
TRAINING = "training: {batch_size: 32, learning_rate: 1.0e-3, weight_decay: 0.05, warmup_steps: 2}\n"


@pytest.fixture
def planned(tmp_path):
    """``planned(students)``: the cases of a profile with these, in a matrix that has others, too."""

    def plan(students):
        path = tmp_path / "matrix.yaml"
        profiles = [PROFILE.format(name=name, students=names) for name, names in (("p", students), ("other", "wrong"))]
        path.write_text(MATRIX + "".join(profiles) + TRAINING)
        return matrix.cases(matrix.load(path), "p", path)

    return plan


def test_a_model_of_timm_is_a_student_that_reads_pixels(planned):
    small, same = planned("small, same")
    assert small.student_model == LibraryStudent("mobilenetv4_conv_small_050", 48) and small.reads == "pixels"
    assert (small.id, small.loss) == ("shapes-dino-small-1ep", "queue-matching")
    assert same.student_model.size is None  # that of the images
    assert {"timm.py"} == {file.name for file in small.files() if "libraries" in file.parts}


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ("wrong", "matrix.yaml:5:17: students.wrong.timm: there is no 'mobilenetv4_conv_smal', did you mean 'mobilenetv4_conv_small'"),
        ("large", "matrix.yaml:6:3: students.large.size: ghostnetv3_100 cannot be trained at 32 px (Given input size: "),
    ],
)  # fmt: skip
def test_one_that_cannot_be_trained_is_refused_where_it_is_asked_for(planned, student, message):
    with pytest.raises(LocatedError) as refusal:
        planned(f"small, {student}")
    assert str(refusal.value).startswith(message)
