"""Which weights the teacher of a case is loaded with."""

from bench.features.extract import weights_of
from bench.plan import matrix


def kind_of(profile, name):
    cases = matrix.cases(matrix.load(), profile, controls=("random-teacher",))
    return weights_of(next(case for case in cases if case.id == name)).kind


def test_a_random_teacher_is_of_the_same_size_and_reads_no_weights():
    assert kind_of("pocket", "shapes-dino-cbam-5ep-random-teacher") == "untrained"
    assert kind_of("paper", "coco-blip-cbam-5ep-random-teacher") == "random"
    assert kind_of("paper", "coco-blip-cbam-5ep") == "pretrained"
