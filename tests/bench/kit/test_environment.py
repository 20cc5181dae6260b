"""What a process knows of its machine."""

import math
import os
import subprocess
import sys

import pytest

from bench.kit import environment
from bench.kit.paths import ROOT


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system confines no process to some cores")
@pytest.mark.parametrize("count", [1, 2])
def test_a_process_that_is_confined_to_some_cores_counts_these(count):
    there = sorted(os.sched_getaffinity(0))
    if len(there) < count:
        pytest.skip(f"{count} cores are not there")
    script = f"import os; os.sched_setaffinity(0, {set(there[:count])}); from bench.kit.environment import usable_cores; print(usable_cores())"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{count}\n"


def test_where_the_system_does_not_tell_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 48)
    assert environment.usable_cores() == 48


@pytest.mark.parametrize(("own", "files", "cores"), [
    ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5), ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
    ("0::/a.slice/b\n", {"a.slice/cpu.max": "50000 100000\n", "a.slice/b/cpu.max": "200000 100000\n"}, 0.5),
    ("4:memory:/x\n1:cpu,cpuacct:/docker/1\n0::/\n", {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf), ("0::/\n", {}, math.inf),
])  # fmt: skip
def test_a_containers_share_of_the_cores_counts(tmp_path, own, files, cores):
    """Files as the kernel's documentation of control groups has them: cgroup-v2.rst, sched-bwc.rst."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    assert environment.cpu_quota(tmp_path / "cgroup", tmp_path / "own") == cores


def test_a_checkout_below_another_repository_has_no_commit_of_it(tmp_path, monkeypatch):
    """As where the source archive was unpacked there."""

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    below = tmp_path / "unpacked"
    below.mkdir()
    git("init")
    git("commit", "--allow-empty", "-m", "another project's")
    for root, has_commit in ((tmp_path, True), (below, False)):
        monkeypatch.setattr(environment, "ROOT", root)
        known = {"git": environment._git.__wrapped__()}
        assert (known["git"]["commit"] is not None) is has_commit
        assert environment.commit(known).startswith("commit `") is has_commit
    assert environment.commit(known) == "an unknown commit"


def test_files_that_a_commit_lacks(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    paths = ["students/old.py", "students/new.py"]
    assert environment.lacking("0" * 40, paths) is None  # no repository
    (tmp_path / "students").mkdir()
    git("init")
    for path in paths:
        (tmp_path / path).write_text("")
        git("add", path)
        git("commit", "-m", path)
    first, last = git("rev-parse", "HEAD~1", "HEAD").split()
    assert environment.lacking(first, paths) == ["students/new.py"] and environment.lacking(last, paths) == []
    assert environment.lacking(None, paths) is None
    assert environment.lacking("0" * 40, paths) is None, "a commit that this checkout does not have"
