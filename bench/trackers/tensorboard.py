"""TensorBoard: event files below ``tensorboard/`` in the results folder, a folder a run. It holds no files: the report and
an export's model card are texts."""

import shutil
from pathlib import Path

from bench.trackers import Run


def send(run: Run, folder: Path) -> Path:
    """Write the run's event file, instead of an older one; returns the folder to give to ``tensorboard --logdir``."""
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    top = folder / "tensorboard"
    shutil.rmtree(top / run.name, ignore_errors=True)
    with SummaryWriter(top / run.name) as writer:
        # As SummaryWriter.add_hparams does, but into the same run.
        for summary in hparams(run.parameters, run.metrics) if run.parameters else ():
            writer.file_writer.add_summary(summary)
        for epoch, values in run.curve.items():
            for name, value in values.items():
                writer.add_scalar(name, value, epoch)
        for name, value in run.metrics.items():
            writer.add_scalar(name, value, max(run.curve))
        if run.text:
            writer.add_text(next(iter(run.files)), run.text)
    return top
