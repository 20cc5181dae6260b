"""What runs the cases: ``--executor``. Needs no torch, which a session that only reuses records never imports."""

from argparse import Namespace

from bench.kit.paths import ROOT
from bench.kit.progress import Progress
from bench.run.job import Job
from bench.run.lengths import expected, longest_first
from bench.run.processes import Processes

NAMES = ("processes", "serial", "ray", "slurm")


def require(name: str, job: Job, option: Namespace) -> None:
    """Raise :class:`~bench.kit.errors.UserError` where the executor's library is not installed, or its options are wrong."""
    if name == "ray":
        from bench.run.ray_tasks import load_ray

        load_ray()
    elif name == "slurm":
        from bench.run.slurm import submitter

        submitter(job.folder, option.slurm)


def executor(name: str, job: Job, reusable: dict, progress: Progress, option: Namespace):
    """The executor called ``name``: ``run(case, rounds)`` gives the record of a case that it did not train in this process,
    and whether another session did; ``stop()`` interrupts what runs. Cases that are ``reusable`` will not be asked for."""
    if name == "serial":
        from bench.run.serial import Serial

        return Serial(job, progress)
    cases = [case for case in job.chosen if case.id not in reusable]
    cases = longest_first(cases, expected(cases, ROOT / "reports" / option.profile, job.folder))
    if name == "ray":
        from bench.run.ray_tasks import RayTasks

        return RayTasks(job, cases, progress, option.ray_address)
    if name == "slurm":
        from bench.run.slurm import Slurm

        return Slurm(job, cases, progress, option.slurm)
    return Processes(job, cases, progress)
