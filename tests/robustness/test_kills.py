"""Killed or interrupted at any moment, the next run goes on and ends with the same results.

DISTILL_BENCH_KILLS=1000 pytest -m slow tests/robustness/test_kills.py -s      many kills, telling how many were survived
"""

import os
import re
import signal

import pytest

from tests.robustness.conftest import OFTEN, results_of

MANY = int(os.environ.get("DISTILL_BENCH_KILLS", 6))
LAST_OPERATION = 150  # changes to files that a whole run makes, roughly; half of the kills fall just before one


@pytest.mark.slow
@pytest.mark.parametrize("kills", [MANY])
def test_killed_at_random_moments_it_ends_with_the_same_results(run, whole, tmp_path, chance, kills):
    """In an epoch, a feature pass, a measurement; before, in and after the write of any file."""
    expected, killed, rounds = results_of(whole), 0, 0
    longest = float((whole / "seconds").read_text())
    while killed < kills:
        place, rounds, fates = tmp_path / f"round-{rounds}", rounds + 1, []
        while True:
            by_time = {"seconds": chance.uniform(0, longest)}
            fate = chance.choice([by_time, {"operation": chance.randint(1, LAST_OPERATION)}]) if killed < kills else {}
            ran = run(place, **fate)
            if ran.status != -signal.SIGKILL:
                break
            killed += 1
            fates.append(fate)
        assert ran.status == 0, (fates, ran.output)
        assert results_of(place) == expected, fates
        assert (place / "results" / "report.md").exists() and not list(place.rglob("*.tmp")), fates
        print(f"{killed} kills survived in {rounds} rounds", flush=True)


@OFTEN
def test_ctrl_c_and_schedulers_leave_all_resumable_and_are_told_how_to_go_on(run, whole, tmp_path, chance, times):
    for number in (signal.SIGTERM, signal.SIGINT)[:times]:
        ran = run(tmp_path, "--rerun=missing", signal=number, operation=chance.randint(1, 40))
        assert ran.status == 2, ran.output
        assert "of 4 cases are done, and partly trained ones are kept. Resume with: pytest bench" in ran.output
        assert "--profile tiny" in ran.output.rpartition("Resume with:")[2] and "--rerun" not in ran.output
        stopped = [record for record in results_of(tmp_path).values() if record["status"] != "done"]
        message = "the case was interrupted; it will be tried again"
        assert all((record["status"], record["message"]) == ("interrupted", message) for record in stopped)
    ran = run(tmp_path)
    assert ran.status == 0 and results_of(tmp_path) == results_of(whole), ran.output


@pytest.mark.parametrize("executor", [pytest.param("serial", marks=pytest.mark.slow), "processes"])
def test_two_sessions_on_one_folder_run_each_case_once_and_end_with_the_same_results(
    server, ordered, whole, tmp_path, executor
):
    ran = server([ordered(tmp_path), ordered(tmp_path, "--executor", executor)])
    output = ran[0].output + ran[1].output
    assert [one.status for one in ran] == [0, 0], output
    assert "waiting for another process" in output
    assert sum(int(count) for count in re.findall(r"(\d) of 4 cases were reused", output)) == 4, output
    assert results_of(tmp_path) == results_of(whole)


@OFTEN
def test_cases_that_take_too_long_end_so_the_next_ones_run_and_nothing_is_lost(run, whole, tmp_path, chance, times):
    """All of them first, then some at random moments; in the end a limit that all keep."""
    ran = run(tmp_path, "--case-timeout", "0.01")
    assert ran.status == 1 and "4 failed" in ran.output
    statuses = [record["status"] for record in results_of(tmp_path).values()]
    assert statuses == ["timeout"] * 4
    assert "took longer than 0.01 s (--case-timeout)" in (tmp_path / "results" / "report.md").read_text()
    for _ in range(times):
        limit = chance.uniform(0.1, 1.0)
        ran = run(tmp_path, "--case-timeout", f"{limit}")
        assert ran.status in (0, 1), (limit, ran.output)
        assert {record["status"] for record in results_of(tmp_path).values()} <= {"timeout", "done"}, (
            limit,
            ran.output,
        )
    ran = run(tmp_path, "--case-timeout", "1000")
    assert ran.status == 0 and results_of(tmp_path) == results_of(whole), ran.output
