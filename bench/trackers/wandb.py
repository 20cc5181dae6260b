"""Weights & Biases: the project that WANDB_PROJECT names, else ``distill-bench``; local files lie in the results folder, or
where WANDB_DIR says. WANDB_MODE=offline sends nothing."""

import os
import shutil
from pathlib import Path

from bench.trackers import Run


def send(run: Run, folder: Path) -> str:
    """Send the run, which takes the place of an older one since it has its id; returns where it is."""
    import wandb

    place = Path(os.environ.get("WANDB_DIR") or folder)
    for older in place.glob(f"wandb/*run-*-{run.key}"):
        shutil.rmtree(older)
    # What this process is and does says nothing of the run, which is over.
    quiet = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True)
    with wandb.init(
        project=os.environ.get("WANDB_PROJECT", "distill-bench"), id=run.key, name=run.name, group=run.profile,
        config=run.parameters, dir=place, settings=quiet,
    ) as to:  # fmt: skip
        for epoch, values in run.curve.items():
            to.log({"epoch": epoch, **values}, step=epoch)
        to.summary.update(run.metrics)
        for kind, paths in run.files.items():
            artifact = wandb.Artifact(f"{kind}-{run.name}", kind)
            for path in paths:
                if path.is_dir():
                    artifact.add_dir(str(path))
                else:
                    artifact.add_file(str(path))
            to.log_artifact(artifact)
        return str(place / "wandb") if to.offline else to.url
