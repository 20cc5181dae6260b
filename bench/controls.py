"""The controls, one row each: what a student is held against. Adding one is writing its row and its function.

A control that is *trained* is a case of its own: its function makes it of a student's case. One that is *measured* stands
beside each case: its function is ``module:name`` under ``bench.measure``, called with the
:class:`bench.measure.controls.Subject`, and returns metrics, or None where the data have no such control.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bench.metrics import KINDS

# What a student is trained with where nothing is distilled, by the kind of the data; images alone have no task.
TASK_LOSSES = {"classification": "cross-entropy", "captions": "contrastive"}
WITH_TASK = tuple(TASK_LOSSES)


@dataclass(frozen=True)
class Control:
    """A control: its column's title, and what it shows in a sentence.

    ``kinds`` are those of the data that have it. Images alone have no task to train on, and what a student finds as a
    random teacher does is no measure beside what another finds as the teacher does.

    ``gain``: whether a student's gain over it is a column of the report. ``always``: it is measured unasked, and not named
    in a profile. ``random_teacher``: the teacher's weights are random.
    """

    name: str
    title: str
    shows: str
    trained: Callable[[Any], Any] | None = None
    measured: str | None = None
    gain: bool = False
    always: bool = False
    random_teacher: bool = False
    kinds: tuple[str, ...] = KINDS


def without_distillation(case):
    """The same student trained on the task's own loss."""
    return replace(case, loss=TASK_LOSSES[case.kind], several_losses=False)


def from_random_teacher(case):
    """The same distillation beside the random teacher's own row; which weights it has follows from the control's row."""
    return replace(case, controls=("teacher",))


ROWS = (
    Control("untrained", "untrained", "the same student as initialised", measured="controls:untrained", gain=True),
    Control("teacher", "teacher itself", "the teacher by the same protocol", measured="controls:teacher"),
    Control("raw-pixels", "raw pixels", "no model at all", measured="controls:raw_pixels"),
    Control(
        "shuffled", "shuffled", "this student, labels or captions exchanged at random", measured="controls:shuffled", always=True,
        kinds=WITH_TASK,
    ),
    Control(
        "no-distillation", "no distillation", "the same student trained on the task's labels or captions alone",
        trained=without_distillation, gain=True, kinds=WITH_TASK,
    ),
    Control(
        "random-teacher", "a random teacher", "the same student and loss with a teacher of random weights",
        trained=from_random_teacher, gain=True, random_teacher=True, kinds=WITH_TASK,
    ),
)  # fmt: skip
CONTROLS = {row.name: row for row in ROWS}
NAMES = tuple(row.name for row in ROWS if not row.always)  # as a profile and --controls name them
MEASURED = tuple(row.name for row in ROWS if row.measured and not row.always)
TRAINED = tuple(row.name for row in ROWS if row.trained)
GAINS = tuple(row.name for row in ROWS if row.gain)  # over which a report shows gains
