#!/usr/bin/env bash
# onnxruntime==1.32.0 (onnx 1.23.2)
# Guess: CalibTensorRangeSymmetric changes the ranges that calibration finds, as its documentation says: "the final range of tensor during
#   calibration will be explicitly set to symmetric to central point 0". It costs a bit of the resolution behind a ReLU.
# Behaviour: It costs the ReLU. quantize_static takes each ReLU or Clip behind a quantized layer out of the graph, since a range that
#   starts at 0 cuts negative values off as well. It keeps them where ActivationSymmetric is set, and looks at no other option: with
#   CalibTensorRangeSymmetric alone the range starts at -max, the ReLU is gone all the same, and the student is linear. It is so in both
#   formats. Nothing is logged. Issue 11660 was the same with ActivationSymmetric, and is fixed; of this option no issue was found.
# Seen (four convolutions with random weights; ReLUs or Clips in the int8 model, and the mean cosine of its embeddings of 16 images with
#   those of the float model):
#   Relu, no options:                                 0 left, cosine  1.000
#   Relu, CalibTensorRangeSymmetric:                  0 left, cosine -0.031
#   Relu, the same, QOperator:                        0 left, cosine -0.034
#   Relu, and ActivationSymmetric:                    4 left, cosine  1.000
#   Clip to 6, CalibTensorRangeSymmetric:             0 left, cosine -0.131
# Why it matters: Symmetric ranges are what TensorRT and many accelerators ask for, and both options sound like it. The int8 student
#   is another function, which is easily taken for a student that cannot be quantized. Set ActivationSymmetric, which makes ranges
#   symmetric by itself, or QDQKeepRemovableActivations.
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
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

generator = numpy.random.default_rng(0)
images = generator.normal(size=(16, 1, 3, 32, 32)).astype(numpy.float32)
DEPTH = 4


def tensor(name, *shape):
    spread = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
    return numpy_helper.from_array(generator.normal(0, spread, shape).astype(numpy.float32), name)


def build(activation):
    nodes, tensors, now = [], [], "pixels"
    if activation == "Clip":
        tensors += [numpy_helper.from_array(numpy.float32(value), name) for value, name in ((0, "zero"), (6, "six"))]
    for layer in range(DEPTH):
        tensors.append(tensor(f"weight{layer}", 16, 16 if layer else 3, 3, 3))
        nodes.append(helper.make_node("Conv", [now, f"weight{layer}"], [f"conv{layer}"], f"conv {layer}", pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node(activation, [f"conv{layer}", *(["zero", "six"] if activation == "Clip" else [])], [f"features{layer}"], f"activation {layer}"))
        now = f"features{layer}"
    nodes += [helper.make_node("GlobalAveragePool", [now], ["pooled"], "pool"), helper.make_node("Flatten", ["pooled"], ["embeddings"], "flatten")]
    given = [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 32, 32])]
    outputs = [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, [1, 16])]
    model = helper.make_model(helper.make_graph(nodes, "student", given, outputs, tensors), opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "student.onnx")


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = iter(images)

    def get_next(self):
        return next(({"pixels": image} for image in self.left), None)


def run(path):
    session = onnxruntime.InferenceSession(path)
    return numpy.concatenate([session.run(None, {"pixels": image})[0] for image in images])


def quantize(title, activation, form=QuantFormat.QDQ, **options):
    build(activation)
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static("student.onnx", "int8.onnx", Images(), quant_format=form, extra_options=options)
    left = sum(node.op_type.endswith(activation) for node in onnx.load("int8.onnx").graph.node)
    ours, theirs = run("int8.onnx"), run("student.onnx")
    cosine = (ours * theirs).sum(1) / numpy.linalg.norm(ours, axis=1) / numpy.linalg.norm(theirs, axis=1)
    print(f"{title + ':':49} {left} left, cosine {cosine.mean():6.3f}")
    return left, cosine.mean()


plain = quantize("Relu, no options", "Relu")
lost = [
    quantize("Relu, CalibTensorRangeSymmetric", "Relu", CalibTensorRangeSymmetric=True),
    quantize("Relu, the same, QOperator", "Relu", QuantFormat.QOperator, CalibTensorRangeSymmetric=True),
]
kept = quantize("Relu, and ActivationSymmetric", "Relu", CalibTensorRangeSymmetric=True, ActivationSymmetric=True)
lost.append(quantize("Clip to 6, CalibTensorRangeSymmetric", "Clip", CalibTensorRangeSymmetric=True))
assert plain[0] == 0 and kept[0] == DEPTH and min(plain[1], kept[1]) > 0.99
assert all(left == 0 and cosine < 0.5 for left, cosine in lost)
PYTHON
