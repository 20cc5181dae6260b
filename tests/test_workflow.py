"""The workflow that shows users the gate keeps step with the suite."""

import yaml

from bench.kit.paths import ROOT

TEXT = (ROOT / ".github" / "workflows" / "distill-bench.yml").read_text()
JOBS = yaml.safe_load(TEXT)["jobs"]


def test_the_gate_runs_the_ci_profile_against_the_committed_baseline():
    runs = " ".join(step.get("run", "") for step in JOBS["gate"]["steps"])
    assert "--profile ci --baseline reports/baselines/ci.json" in runs
    assert (ROOT / "reports" / "baselines" / "ci.json").exists()


def test_actions_have_a_major_version_and_no_secret_is_read():
    uses = [step["uses"] for job in ("tests", "gate") for step in JOBS[job]["steps"] if "uses" in step]
    assert uses and all(name.rpartition("@")[2].lstrip("v").isdigit() for name in uses)
    assert "secrets." not in TEXT
