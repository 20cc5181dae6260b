#!/usr/bin/env bash
# onnxruntime==1.32.0 (onnx 1.23.2)
# Guess: quantize_static(extra_options={"CalibMaxIntermediateOutputs": 32}) keeps the ranges of 32 batches at a time in memory and merges
#   them: "This will produce the same result as all computing with None, but is more memory efficient", says the docstring.
# Behaviour: MinMax calibration throws away 32 batches at a time, without a look at them. What is left is the remainder: of 100 batches
#   the last 4. Where nothing is left over, it raises "No data is collected." Pull requests 20226 and 32577 name it, for issue 18893,
#   and neither is merged.
# Seen (100 images in the order of their ten classes, from high to low contrast; the range of the pixels in the int8 model, and the
#   relative error of all images' embeddings):
#   all 100 images:                          range 17.51, error 0.035
#   all, CalibMaxIntermediateOutputs=32:     range  1.57, error 0.764
#   the last 4 images:                       range  1.57, error 0.764
#   all, shuffled, the same option:          range 11.19, error 0.062
#   all, CalibMaxIntermediateOutputs=50:     No data is collected.
# Why it matters: The option is for those who calibrate with many images, and these get the ranges of a handful, of a single class
#   where the reader goes through a folder. The int8 student loses its accuracy, and more images for calibration do not help. Leave the
#   option out: the minima and maxima that MinMax keeps are small.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import contextlib
import io

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

generator = numpy.random.default_rng(0)
# Images of ten classes with contrasts of their own, in the order of their classes, as a folder is read.
contrasts = numpy.repeat(numpy.linspace(2, 0.2, 10), 10)
images = (contrasts[:, None, None, None] * generator.normal(size=(100, 3, 32, 32))).astype(numpy.float32)


def weights(name, filters, channels):
    return numpy_helper.from_array(generator.normal(0, (2 / (9 * channels)) ** 0.5, (filters, channels, 3, 3)).astype(numpy.float32), name)


nodes = [
    helper.make_node("Conv", ["pixels", "first.weight"], ["first"], "first", strides=[2, 2]),
    helper.make_node("Relu", ["first"], ["features"], "relu"),
    helper.make_node("Conv", ["features", "second.weight"], ["embeddings"], "second", strides=[2, 2]),
]
given = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 32, 32])]
outputs = [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, [1, 8, 7, 7])]
graph = helper.make_graph(nodes, "student", given, outputs, [weights("first.weight", 16, 3), weights("second.weight", 8, 16)])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "student.onnx")


class Images(CalibrationDataReader):
    def __init__(self, some):
        self.left = iter(some)

    def get_next(self):
        return next(({"pixels": image[None]} for image in self.left), None)


def run(path):
    session = onnxruntime.InferenceSession(path)
    return numpy.concatenate([session.run(None, {"pixels": image[None]})[0] for image in images])


exact = run("student.onnx")


def quantize(title, some, **options):
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static("student.onnx", "int8.onnx", Images(some), extra_options=options)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load("int8.onnx").graph.initializer}
    width = tensors["pixels_scale"].item() * 255
    error = (numpy.linalg.norm(run("int8.onnx") - exact) / numpy.linalg.norm(exact)).item()
    print(f"{title + ':':40} range {width:5.2f}, error {error:.3f}")
    with open("int8.onnx", "rb") as file:
        return file.read(), error


whole = quantize("all 100 images", images)
parts = quantize("all, CalibMaxIntermediateOutputs=32", images, CalibMaxIntermediateOutputs=32)
last = quantize("the last 4 images", images[96:])
shuffled = quantize("all, shuffled, the same option", generator.permutation(images), CalibMaxIntermediateOutputs=32)
try:
    quantize("all, CalibMaxIntermediateOutputs=50", images, CalibMaxIntermediateOutputs=50)
    raised = None
except ValueError as error:
    raised = str(error)
print(f"{'all, CalibMaxIntermediateOutputs=50:':40} {raised}")
assert parts[0] == last[0] != whole[0] and raised == "No data is collected."
assert whole[1] < 0.06 < 0.3 < parts[1]
PYTHON
