"""What a record keeps of what its case shares with others."""

import pytest

from bench.features import columns
from bench.kit.progress import Progress
from bench.plan import matrix
from bench.results import record
from bench.run.session import Session


@pytest.mark.parametrize("free", [0, 2**40])
def test_a_record_says_whether_its_features_fitted(tiny_matrix, tmp_path, monkeypatch, free):
    """With no memory free all is streamed; with a terabyte the few images of the tiny matrix lie there whole."""
    monkeypatch.setattr(columns, "free_bytes", lambda device: free)
    case = matrix.cases(matrix.load(tiny_matrix), "tiny", tiny_matrix)[0]
    session = Session(tmp_path, (case,), {case.id}, Progress(None), "cpu")
    with session.recording(case) as entry:
        run = session.training(case)
        run.epoch()
        session.measure(case, run, entry)
    found = record.read(record.path_of(tmp_path, case.id))
    assert (found.status, found.case["epochs"]) == ("done", 1)
    assert found.protocol["features"] == ("on the device" if free else "streamed from disk")
