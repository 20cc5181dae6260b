#!/usr/bin/env bash
# huggingface_hub==2.4.0
# Guess: An EvalResult that is written into a model card and read again is the same: data set name, arguments, source.
# Behaviour: Results of the same task, data set type, configuration, split and revision become one entry, whose data set
#   name, arguments and source are those of the first. What the others state is dropped without a word.
# Seen:
#   written                                            read again
#   0.71 ImageNet {'size': 224} from ours              0.71 ImageNet {'size': 224} from ours
#   0.75 ImageNet {'size': 384} from the paper         0.75 ImageNet {'size': 224} from ours
#   0.62 ImageNet v2 None from None                    0.62 ImageNet {'size': 224} from ours
# Why it matters: Accuracies at several resolutions, shots or with other people's sources on one card all claim the first
#   one's conditions, and leaderboards that parse the card compare them. Give each a data set configuration of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python huggingface_hub==2.4.0
export HF_HUB_OFFLINE=1
venv/bin/python -W error - <<'PYTHON'
from huggingface_hub import EvalResult, ModelCard, ModelCardData

SAME = {"task_type": "image-classification", "dataset_type": "imagenet-1k", "metric_type": "accuracy"}


def text(result):
    return f"{result.metric_value} {result.dataset_name} {result.dataset_args} from {result.source_name}"


def again(results):
    header = ModelCardData(model_name="student", eval_results=results).to_yaml()
    return ModelCard(f"---\n{header}\n---\n").data.eval_results


def three(**configs):
    return [
        EvalResult(**SAME, dataset_name="ImageNet", metric_value=0.71, dataset_args={"size": 224}, source_name="ours", source_url="https://a.example", dataset_config=configs.get("one")),
        EvalResult(**SAME, dataset_name="ImageNet", metric_value=0.75, dataset_args={"size": 384}, source_name="the paper", source_url="https://b.example", dataset_config=configs.get("two")),
        EvalResult(**SAME, dataset_name="ImageNet v2", metric_value=0.62, dataset_config=configs.get("three")),
    ]


written = three()
read = again(written)
print(f"{'written':50s} read again")
for before, after in zip(written, read, strict=True):
    print(f"{text(before):50s} {text(after)}")
assert text(read[0]) == text(written[0])
assert text(read[1]) == "0.75 ImageNet {'size': 224} from ours"
assert text(read[2]) == "0.62 ImageNet {'size': 224} from ours"
apart = three(one="224", two="384", three="v2")
assert [text(result) for result in again(apart)] == [text(result) for result in apart]
PYTHON
