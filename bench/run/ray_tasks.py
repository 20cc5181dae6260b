"""Cases as tasks of Ray, on one machine or many: ``--executor ray``. The driver needs no torch, each node this checkout.

A teacher's pass is one task or several, which share it, and its cases wait for them; a training run's cases are one task,
since they continue each other.
Records, checkpoints and stored features lie in folders that all nodes see, and are all that tasks share. Ray tries a task
again whose worker or node died; it continues from the last checkpoint.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.kit import paths
from bench.kit.errors import UserError
from bench.kit.progress import Progress
from bench.plan.case import Case
from bench.results import running
from bench.results.record import Record
from bench.run.job import CaseError, Job, by_run, key_of
from bench.run.remote import facts, mark, outcomes, pass_of_teacher, reported

STARTS = 3  # of Ray: under load its agent is now and then not there in time (ray-project/ray#65983)
RETRIES = 3  # of a task whose worker or node died
LOOK_SECONDS = 0.5  # between looks at how far the cases are
STOP_SECONDS = 30  # for interrupted tasks to write their records


class RayTasks:
    """Runs ``cases`` on the cluster at ``address``, or on this machine; raises :class:`UserError` where Ray is not there."""

    def __init__(self, job: Job, cases: Sequence[Case], progress: Progress, address: str | None):
        self.ray, self.progress = load_ray(), progress
        _start(self.ray, address)
        self._mark = mark(job)
        runs = by_run(cases)
        needs, of_node, slots = self._resources(job, cases[0])
        device = "cpu" if job.device == "auto" and "num_gpus" not in needs else job.device  # else it would see all GPUs
        self.folder, job = job.folder, replace(job, device=device, beside=min(len(runs), of_node) - 1)
        options = needs | {"max_retries": RETRIES, "scheduling_strategy": "SPREAD"}
        passed = self.ray.remote(pass_of_teacher).options(**options)
        ran = self.ray.remote(outcomes).options(**options)
        firsts = {key_of(run[0]): run[0] for run in runs.values()}
        job = self.ray.put(job)  # hundreds of cases: sent to a node once, not with each task
        share = range(max(1, slots // len(firsts)))  # slots that would idle while the others have a teacher each
        passes = {key: [passed.remote(job, case, facts(case)) for _ in share] for key, case in firsts.items()}
        # Ray starts a task once its arguments are there: a run waits for its teacher's pass.
        tasks = {name: ran.remote(job, run, facts(run[0]), *passes[key_of(run[0])]) for name, run in runs.items()}
        self._tasks = {case.id: tasks[case.run] for case in cases}

    def run(self, case: Case, rounds: Callable) -> tuple[Record, bool]:
        """Wait for the record of a case, while others run; and whether another session finished it first.

        Raises :class:`CaseError` with what its task says of a failure.
        """
        task = self._tasks[case.id]
        with self.progress.task(case.id) as advance:
            while not self.ray.wait([task], timeout=LOOK_SECONDS)[0]:
                if at := running.last(self.folder, case.id):
                    advance(at.epoch, at.epochs, f"{case.id} on {at.host}")
        try:
            outcome = self.ray.get(task)[case.id]
        except self.ray.exceptions.RayError as error:
            raise CaseError(f"its task ended: {error}") from None
        return reported(outcome, case, self.folder, self.progress)

    def stop(self) -> None:
        """Interrupt what runs; its records say so, and what was trained is kept."""
        tasks = [*set(self._tasks.values())]
        _, unfinished = self.ray.wait(tasks, num_returns=len(tasks), timeout=0)
        for task in unfinished:
            self.ray.cancel(task, force=False)
        if unfinished:
            self.ray.wait(unfinished, num_returns=len(unfinished), timeout=STOP_SECONDS)
        self._mark.unlink(missing_ok=True)
        self.ray.shutdown()

    def _resources(self, job: Job, case: Case) -> tuple[dict, int, int]:
        """What a task asks for, how many of those a node has at most, and how many all have."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        gpus = [int(node.get("GPU", 0)) for node in nodes]
        if any(gpus) and job.device in ("auto", "cuda"):
            return {"num_cpus": 0, "num_gpus": 1}, max(gpus), sum(gpus)
        threads = case.threads or 1
        slots = [max(1, int(node.get("CPU", 1)) // threads) for node in nodes]
        return {"num_cpus": threads}, max(slots), sum(slots)


def load_ray():
    """Ray. Raises :class:`UserError` where it is not installed."""
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray: uv sync --extra ray") from None
    return ray


def _start(ray, address: str | None) -> None:
    interrupt = signal.getsignal(signal.SIGTERM)
    variables = {"PYTHONPATH": f"{paths.ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    if paths.VARIABLE in os.environ:
        variables[paths.VARIABLE] = os.environ[paths.VARIABLE]
    for attempt in range(STARTS):
        try:
            ray.init(
                address=address, runtime_env={"env_vars": variables}, include_dashboard=False, logging_level="error"
            )
        except ConnectionError as error:
            raise UserError(f"--ray-address {address}: {error}") from None
        except Exception:
            if attempt == STARTS - 1:
                raise
            ray.shutdown()
            time.sleep(1)
        else:
            signal.signal(signal.SIGTERM, interrupt)  # Ray's own handler aborts this process
            return
