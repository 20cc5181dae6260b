"""The benchmark: a test for every case of the chosen profile. What a case does, the protocol of the paper's section 4.2,
is in :meth:`bench.run.session.Session.run`.

pytest bench                              the whole matrix of the profile "pocket"
pytest bench -k "blip and cbam"           one corner of it
pytest bench --collect-only -q            the ids
"""

import pytest

from bench.kit.errors import UserError
from bench.run.job import CaseError
from bench.training import clock


@pytest.mark.benchmark(group="epoch", timer=clock.training_seconds)
def test_distill(case, finished, executor, rounds, record_property, show_metrics):
    reused = finished is not None
    if not reused:
        try:
            finished, reused = executor().run(case, rounds)
        except (CaseError, UserError) as failure:
            raise pytest.fail.Exception(str(failure), pytrace=False) from None
    if reused:
        record_property("reused", True)
    if finished:
        # Trained before, or by a worker: its epochs pass again, in no time.
        epochs = iter(finished.curve[1:])
        rounds(lambda: clock.advance(next(epochs)["epoch_seconds"]), case.epochs)
    show_metrics(finished)
