"""The cases that are exported: a head, a head on reduced tokens, and students that stand alone, one of them of timm."""

from bench import data

# Features in single precision, so that a student in its session reads the very numbers that the teacher says.
MATRIX = """
students:
  tiny: {timm: test_vit.r160_in1k, size: 48}
profiles:
  tiny:
    weights: pocket
    pairs: {shapes: [dino], scenes: [blip, clip]}
    students: [projection, attention, resnet, tiny]
    epochs: [1]
    seeds: [0]
    samples: {train: 128, test: 70}
    widths: {embedding: 16, bottleneck: 8, trunk: pocket}
    features: float32
    controls: [untrained, teacher, no-distillation]
training: {batch_size: 32, learning_rate: 1.0e-3, weight_decay: 0.05, warmup_steps: 2}
tolerances: {knn_top1: 2.0}
"""
# Asked for on the command line, so the cases do not know it: an export goes by the record.
PRECISION = "fp32"
HEAD, TOKENS, PIXELS = "shapes-dino-projection-1ep", "scenes-blip-attention-1ep", "scenes-clip-resnet-1ep"
TIMM = "shapes-dino-tiny-1ep"  # exported with a classifier


def pictures(case, count=70):
    return data.load(case.dataset, "test", count)


def checkpoint_of(results, name):
    return results / "checkpoints" / name.removesuffix("-1ep") / "epoch-0001.safetensors"


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
