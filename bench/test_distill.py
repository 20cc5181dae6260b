"""The benchmark: every case of the chosen profile, read as the protocol of the paper, section 4.2.

pytest bench                              the whole matrix of the profile "pocket"
pytest bench -k "blip and cbam"           one corner of it
pytest bench --collect-only -q            the ids
"""

import pytest

from bench.training import clock


@pytest.mark.benchmark(group="epoch", timer=clock.training_seconds)
def test_distill(case, turn, rounds, record_property):
    finished, session = turn
    if finished:
        record_property("reused", True)
        epochs = iter(finished.curve[1:])
        rounds(lambda: clock.advance(next(epochs)["epoch_seconds"]), case.epochs)
        return
    with session.recording(case) as record:
        # The teacher runs once over the data; every student and every epoch reads its features.
        run = session.training(case)
        # Each round trains one epoch, or counts one that a shorter case has trained already.
        rounds(run.epoch, case.epochs)
        # Size, cost and accuracy; the teacher's row by the same protocol.
        session.measure(case, run, record)
