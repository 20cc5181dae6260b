"""What a matrix may declare for itself: teachers, students and datasets, and what errors say of them."""

import pytest

from bench.declared import Images, LibraryModel, LibraryStudent
from bench.kit.errors import LocatedError
from bench.plan import matrix

TEXT = """\
teachers:
  mine: {timm: resnet50, path: weights/mine.safetensors, size: 96, crop: 0.9}
  siglip: {open_clip: ViT-B-16-SigLIP2, pretrained: webli, pool: own}
students:
  mnv4: {timm: mobilenetv4_conv_small, size: 96}
datasets:
  pets: {images: pets, test: 0.25, size: 128}
profiles:
  one:
    weights: pretrained
    pairs: {pets: [mine, siglip], tiny-imagenet: [mine]}
    students: [mnv4, projection]
    epochs: [1]
    seeds: [0]
    samples: {train: all, test: all}
    widths: {embedding: 64, bottleneck: 32, trunk: pocket}
training: {batch_size: 16, learning_rate: 1.0e-3, weight_decay: 0.05, warmup_steps: 50}
overrides: {mnv4: {batch_size: 8}}
"""


def load(tmp_path, old="", new=""):
    assert old in TEXT
    (tmp_path / "matrix.yaml").write_text(TEXT.replace(old, new))
    return matrix.load(tmp_path / "matrix.yaml")


def test_what_is_declared_becomes_plain_facts(tmp_path):
    loaded = load(tmp_path)
    assert loaded.teachers["mine"].model == LibraryModel("timm", "resnet50", size=96, crop=0.9)
    assert loaded.teachers["mine"].path == str(tmp_path / "weights" / "mine.safetensors")
    assert loaded.teachers["siglip"].model == LibraryModel("open_clip", "ViT-B-16-SigLIP2", tag="webli")
    assert loaded.students["mnv4"].model == LibraryStudent("mobilenetv4_conv_small", 96)
    assert loaded.datasets["pets"].declared == Images(str(tmp_path / "pets"), test=0.25, size=128)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("timm: resnet50, ", "", "2:3: unknown teacher 'mine', did you mean 'dino'? (a teacher of your own names its library"),
        ("timm: resnet50", "timm: resnet50, open_clip: RN50", "one library, not of timm and open_clip"),
        ("mine", "dino", "2:3: there is a teacher 'dino' already"),
        ("  siglip", "  dino: {size: 448}\n  siglip", "3:16: size is of a library's model; 'dino' has its own in its file"),
        ("mnv4", "resnet", "5:3: there is a student 'resnet' already"),
        ("pets", "coco", "7:3: there is a dataset 'coco' already"),
        ("  mine: {timm", "  my-own: {timm", "String should match pattern"),
        ("students: [mnv4", "students: [mnv3", "12:16: unknown student 'mnv3', did you mean 'mnv4'?"),
        ("students: [mnv4", "students: ['timm:vgg11'", "declare it under students:, like NAME: {timm: vgg11}"),
        ("{pets: [mine", "{pet: [mine", "unknown dataset 'pet', did you mean 'pets'?"),
        ("test: 0.25", "test: 1.5", "7:30: datasets.pets.test: Input should be less than 1"),
        ("pool: own", "pool: map", "Input should be 'own', 'token' or 'avg'"),
        ("{timm: resnet50", "{timm: resnet50, pretrained: a1", "pretrained names weights of open_clip"),
        ("size: 96, crop", "szie: 96, crop", "unknown key 'szie', did you mean 'size'?"),
    ],
)  # fmt: skip
def test_a_faulty_declaration_is_an_error_with_its_place(tmp_path, old, new, says):
    with pytest.raises(LocatedError) as refused:
        load(tmp_path, old, new)
    assert says in str(refused.value)


def test_a_library_s_teacher_has_no_pocket_weights(tmp_path):
    with pytest.raises(LocatedError, match="pocket weights are for what ships with the suite, and 'pets' does not"):
        load(tmp_path, "weights: pretrained", "weights: pocket")
