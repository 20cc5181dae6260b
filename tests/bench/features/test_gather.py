"""Values that do not fit their stored type are an error that names the remedy, never stored."""

from dataclasses import replace

import pytest
import torch

from bench.features.extract import StoreError, extract
from tests.bench.features.passes import TEST, TRAIN, Changed, work


def scaled(teacher, factor):
    def image(pixels):
        features = teacher.image(pixels)
        return replace(features, pooled=features.pooled * factor)

    return Changed(teacher, image=image)


def test_overflow_is_an_error_that_names_the_remedy(clip):
    loud = scaled(clip, 1e6)
    message = r"scenes-clip.* pooled has values beyond float16, up to .*; .*'features: float32' in mat"
    with pytest.raises(StoreError, match=message):
        extract(work(loud), TRAIN, TEST)
    pooled = extract(work(loud, dtype="float32"), TRAIN, TEST).train._sources["pooled"]
    expected = torch.cat([loud.image(part).pooled for part in TRAIN.pixels.split(4)])
    assert pooled.dtype == torch.float32 and torch.equal(pooled, expected)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_teacher_whose_features_are_not_finite_is_named(clip, dtype):
    with pytest.raises(StoreError, match="the teacher's pooled is not finite in fp32"):
        extract(work(scaled(clip, float("nan")), dtype=dtype), TRAIN, TEST)
