"""Teachers that a matrix declares are looked at when a profile that names them is planned, and only then."""

import pytest

from bench.kit.errors import LocatedError
from bench.plan import matrix

PROFILE = """
  {name}:
    weights: random
    pairs: {{shapes: [{teacher}]}}
    students: [{student}]
    epochs: [1]
    seeds: [0]
    samples: {{train: 256, test: 128}}
    widths: {{embedding: 32, bottleneck: 16, trunk: pocket}}
    losses: {{classification: [{loss}]}}
"""
TEACHERS = {
    "good": "timm: vit_tiny_patch16_224, size: 64",
    "misspelt": "timm: vit_tiny_patch16_22",
    "odd": "timm: vit_tiny_patch16_224, size: 65",
    "wide": "timm: mobilenetv3_small_100, size: 64",
    "gridless": "timm: crossvit_tiny_240",
    "untagged": "open_clip: ViT-B-32, pretrained: nobody",
}


@pytest.fixture
def plan(tmp_path):
    def of(teacher: str, student: str = "projection", loss: str = "logit-matching"):
        entries = "".join(f"  {name}: {{{entry}}}\n" for name, entry in TEACHERS.items())
        profile = PROFILE.format(name="p", teacher=teacher, student=student, loss=loss)
        other = PROFILE.format(name="other", teacher="misspelt", student="projection", loss="logit-matching")
        training = "training: {batch_size: 64, learning_rate: 0.001, weight_decay: 0.01, warmup_steps: 2}\n"
        path = tmp_path / "matrix.yaml"
        path.write_text(f"teachers:\n{entries}profiles:{profile}{other}{training}tolerances: {{}}\n")
        return matrix.cases(matrix.load(path), "p", path)

    return of


def test_a_good_one_is_planned_beside_a_bad_one_that_no_chosen_profile_names(plan):
    [case] = plan("good", "attention", "attention-transfer")
    assert case.teacher_model.size == 64 and case.targets == ("attention", "joint")


@pytest.mark.parametrize(
    ("teacher", "student", "loss", "reason"),
    [
        ("misspelt", "projection", "logit-matching", r"teachers.misspelt.timm: .* did you mean 'vit_tiny_patch16_224'"),
        ("odd", "projection", "logit-matching", "teachers.odd.size: 65 px are no multiple"),
        ("untagged", "projection", "logit-matching", "teachers.untagged.pretrained: there is no 'nobody'"),
        (
            "wide",
            "attention",
            "logit-matching",
            "teachers.wide: .*patches of another width.* student 'attention' reads: take projection, bottleneck, .* or a model of timm instead",
        ),
        ("gridless", "attention", "logit-matching", "teachers.gridless: .*no square grid of patches"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(plan, teacher, student, loss, reason):
    line = 2 + [*TEACHERS].index(teacher)
    with pytest.raises(LocatedError, match=rf"matrix.yaml:{line}:\d+: {reason}"):
        plan(teacher, student, loss)


def test_a_student_of_the_pooled_feature_needs_no_patches(plan):
    assert len(plan("gridless")) == 1
