#!/usr/bin/env bash
# torch-fidelity==0.4.0 (torch 2.15.0)
# Guess: calculate_metrics computes the features of the extractor that it is given. The cache, which is on, is there so that the same
#   features are not computed twice.
# Behaviour: The cache's files are named by the registered names of the input and the extractor. Neither feature_extractor_weights_path, nor
#   the weights themselves, nor the images are part of them. After more training, or with the next student under the same name, the
#   distances are those of the first one, in this process and in later ones. Registered inputs are cached without being asked for. The
#   docstring asks for unique names of extractors, not for one for each set of weights; no issue on it was found.
# Seen (two students of one class, two sets of 200 images; Frechet and kernel distance in the student's features):
#   cache=True, student 0:   0.0354 and 0.0142
#   cache=True, student 1:   0.0354 and 0.0142
#   cache=False, student 0:  0.0354 and 0.0142
#   cache=False, student 1:  1.0104 and 3.4165
# Why it matters: A sweep over checkpoints shows that training changes nothing, and a new student scores as the old one to the last
#   digit. Pass cache=False, or put a checksum of the weights into the extractor's name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv -q venv
uv pip install -q --python venv/bin/python torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 scipy==1.17.1 torch-fidelity==0.4.0
export OMP_NUM_THREADS=1
venv/bin/python -W ignore - 2>log <<'PYTHON'
import torch
from torch import nn
from torch.utils.data import Dataset
from torch_fidelity import FeatureExtractorBase, calculate_metrics, register_dataset, register_feature_extractor


class Images(Dataset):
    def __init__(self, shift):
        generator = torch.Generator().manual_seed(shift)
        values = torch.randint(0, 200, (200, 3, 16, 16), generator=generator)
        values[:, :, :8] += shift
        self.values = values.to(torch.uint8)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]


class Student(FeatureExtractorBase):
    def __init__(self, name, features_list, feature_extractor_weights_path=None, **settings):
        super().__init__(name, features_list)
        self.net = network()
        self.net.load_state_dict(torch.load(feature_extractor_weights_path))

    @staticmethod
    def get_provided_features_list():
        return ("embedding",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "embedding"

    @staticmethod
    def can_be_compiled():
        return False

    def forward(self, images):
        return (self.net(images.float() / 255),)


def network():
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 49, 8))


for seed in range(2):
    torch.manual_seed(seed)
    net = network()
    net[-1].weight.data.mul_(1 + 9 * seed)
    torch.save(net.state_dict(), f"student{seed}.pt")
register_dataset("held-out", lambda root, download: Images(0))
register_dataset("shifted", lambda root, download: Images(50))
register_feature_extractor("student", Student)


def distance(seed, cache):
    common = {"fid": True, "kid": True, "kid_subset_size": 100, "kid_subsets": 10, "cuda": False, "verbose": False, "save_cpu_ram": True}
    values = calculate_metrics(
        input1="held-out",
        input2="shifted",
        feature_extractor="student",
        feature_extractor_weights_path=f"student{seed}.pt",
        cache=cache,
        cache_root="cache",
        **common,
    )
    return values["frechet_inception_distance"], values["kernel_inception_distance_mean"]


seen = {}
for cache in (True, False):
    for seed in range(2):
        seen[cache, seed] = distance(seed, cache)
        print(f"{f'cache={cache}, student {seed}:':24} {seen[cache, seed][0]:.4f} and {seen[cache, seed][1]:.4f}")
assert seen[True, 0] == seen[True, 1]
assert abs(seen[False, 0][0] - seen[True, 0][0]) < 1e-4 * seen[True, 0][0] and seen[False, 1][0] > 10 * seen[False, 0][0]
PYTHON
