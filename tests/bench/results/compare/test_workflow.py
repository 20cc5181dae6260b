"""The workflow that shows users the gate keeps step with the suite."""

from pathlib import Path

import yaml

from bench.kit.paths import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "distill-bench.yml"


def steps(job):
    return yaml.safe_load(WORKFLOW.read_text())["jobs"][job]["steps"]


def test_the_gate_runs_the_ci_profile_against_the_committed_baseline():
    runs = " ".join(step.get("run", "") for step in steps("gate"))
    assert "--profile ci --baseline reports/baselines/ci.json" in runs
    assert (ROOT / "reports" / "baselines" / "ci.json").exists()


def test_actions_have_a_major_version_and_no_secret_is_read():
    text = WORKFLOW.read_text()
    uses = [step["uses"] for job in ("tests", "gate") for step in steps(job) if "uses" in step]
    assert uses and all(name.rpartition("@")[2].lstrip("v").isdigit() for name in uses)
    assert "secrets." not in text and Path(WORKFLOW).suffix == ".yml"
