#!/usr/bin/env bash
# onnxslim==0.1.98 (onnx 1.23.2, onnxruntime 1.32.0)
# Guess: slim(path) folds a multiplication into the layer before it where both compute the same, and leaves it alone elsewhere.
# Behaviour: Behind a convolution it takes any constant with as many values as there are channels for a scale of the channels, also one
#   that goes along the columns or rows: a map that is as wide as it has channels is multiplied along the wrong axis. A scale behind a
#   linear layer and a reshape goes into the layer's weights also where its outputs are used elsewhere, which are scaled then as well.
#   All shapes fit, and nothing is logged. model_check=True would compare, and is off by default. No documentation or issue on either
#   was found.
# Seen (random weights; the largest difference of each output to that of the file before, relative to the output's largest value):
#   a window over 16 columns, 8 channels:        features 0.000
#   a window over 16 columns, 24 channels:       features 0.000
#   a window over 16 columns, 16 channels:       features 1.011
#   a scale, before the heads are split:         logits 0.000, probabilities 0.000
#   a scale, reshaped:                           logits 0.000, probabilities 0.275
# Why it matters: A student that is right at one width or resolution is wrong at another once it is slimmed, and one output of a student
#   is right while another is not. Compare each output with those of the file before, or give skip_fusion_patterns FusionConvMul and
#   FusionGemmMul.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxslim==0.1.98
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import numpy
import onnx
import onnxruntime
import onnxslim
from onnx import TensorProto, helper, numpy_helper

generator = numpy.random.default_rng(0)


def tensor(name, *shape):
    return numpy_helper.from_array(generator.normal(size=shape).astype(numpy.float32), name)


def constant(name, values):
    return numpy_helper.from_array(numpy.asarray(values), name)


def compare(title, nodes, tensors, given, outputs):
    """The largest difference of each output of the slimmed model, relative to the output's largest entry."""
    infos = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names.items()] for names in (given, outputs)]
    graph = helper.make_graph(nodes, "student", *infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "student.onnx")
    onnx.save(onnxslim.slim("student.onnx"), "slim.onnx")
    onnx.checker.check_model("slim.onnx", full_check=True)
    feed = {name: generator.normal(size=shape).astype(numpy.float32) for name, shape in given.items()}
    results = [onnxruntime.InferenceSession(path).run(None, feed) for path in ("student.onnx", "slim.onnx")]
    differences = {name: (numpy.abs(ours - theirs).max() / numpy.abs(theirs).max()).item() for name, theirs, ours in zip(outputs, *results)}
    print(f"{title + ':':44} {', '.join(f'{name} {difference:.3f}' for name, difference in differences.items())}")
    return differences


def window(channels):
    """A convolution, and a Hann window over the columns of its map of 16 by 16."""
    nodes = [
        helper.make_node("Conv", ["pixels", "weight"], ["map"], "convolution", pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["map", "window"], ["features"], "window"),
    ]
    tensors = [tensor("weight", channels, 3, 3, 3), constant("window", numpy.hanning(18)[1:-1].astype(numpy.float32))]
    return compare(f"a window over 16 columns, {channels} channels", nodes, tensors, {"pixels": [1, 3, 16, 16]}, {"features": [1, channels, 16, 16]})


def scale(where):
    """Two heads' logits, once as probabilities and once with a scale; the linear layer is the one of both."""
    nodes = [helper.make_node("Gemm", ["pooled", "weight", "bias"], ["both"], "classifier", transB=1), helper.make_node("Sigmoid", ["both"], ["probabilities"], "sigmoid")]
    if where == "reshaped":
        nodes += [helper.make_node("Reshape", ["both", "shape"], ["heads"], "heads"), helper.make_node("Mul", ["heads", "scale"], ["logits"], "scale")]
    else:
        nodes += [helper.make_node("Mul", ["both", "scale"], ["heads"], "scale"), helper.make_node("Reshape", ["heads", "shape"], ["logits"], "heads")]
    tensors = [tensor("weight", 20, 8), tensor("bias", 20), constant("shape", [-1, 2, 10]), constant("scale", numpy.float32(0.25))]
    return compare(f"a scale, {where}", nodes, tensors, {"pooled": [4, 8]}, {"logits": [4, 2, 10], "probabilities": [4, 20]})


right = [*window(8).values(), *window(24).values()]
coincidence = window(16)["features"]
right += scale("before the heads are split").values()
after = scale("reshaped")
assert max(right) < 1e-5 and after["logits"] < 1e-5
assert coincidence > 0.1 and after["probabilities"] > 0.1
PYTHON
