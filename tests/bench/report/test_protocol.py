"""The last section of a report: how its figures were measured."""

import dataclasses

from bench import matrix
from bench.report.protocol import section
from tests.bench.made import made

CASES = matrix.cases(matrix.load(), "pocket")[:2]


def test_times_that_another_machine_measured_are_named():
    here = made(CASES[0])
    told = here.environment["hardware"]
    own = f"cpu ({told['processor']}, 2 threads)"
    here.protocol["timed_on"] = {"epoch_seconds": own, "teacher_pass_seconds": own}
    assert "took" not in section([(CASES[0], here)])
    other = dataclasses.replace(here, protocol={"timed_on": {"epoch_seconds": own, "teacher_pass_seconds": "NVIDIA X"}})
    text = section([(CASES[0], here), (CASES[1], other)])
    assert text.endswith(" 1 of 2 cases took teacher_pass_seconds over from NVIDIA X: not shown.")
