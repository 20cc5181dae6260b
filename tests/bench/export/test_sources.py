"""What an export is made from: a case that did not finish, or whose files are not its own, is refused."""

import shutil
from dataclasses import replace

import pytest

from bench import export
from bench.__main__ import main
from bench.kit import paths
from bench.kit.errors import UserError
from bench.results import record
from tests.bench.export.three import HEAD, PIXELS, PRECISION, TOKENS, checkpoint_of, flip

OTHER_CONFIGURATION = (
    rf"another configuration.*\(code, data or weights changed\).*, or run it with: pytest 'bench/\S+\[{HEAD}\]' "
    rf"--precision {PRECISION}$"
)


def test_an_unknown_case_is_answered_with_the_nearest(cases):
    with pytest.raises(UserError, match=f"unknown case 'shapes-dino-projecton-1ep', did you mean '{HEAD}'"):
        export.named(cases, "shapes-dino-projecton-1ep")


def test_the_advice_is_a_command_that_runs_the_case_and_no_other(tmp_path, capsys):
    case, to = "shapes-dino-densenet-4ep", tmp_path / "to"
    assert main(["export", case, "--profile", "ci", "--results", str(tmp_path), "--to", str(to)]) == 2
    command = f"run it with: pytest 'bench/test_distill.py::test_distill[{case}]' --profile ci --results {tmp_path}\n"
    assert command in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "0123456789abcdef"}, OTHER_CONFIGURATION),
        ({"status": "failed", "message": "the loss is nan"}, r"is failed, not done \(the loss is nan\)"),
        ({"protocol": {"teacher_weights_sha256": "0" * 64}}, "teacher dino has other weights"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(copied, refused, changes, message):
    entry = record.read(record.path_of(copied, HEAD))
    changes = {"protocol": entry.protocol | changes["protocol"]} if "protocol" in changes else changes
    record.write(entry.model_copy(update=changes), copied)
    refused(copied, message)


def test_a_record_that_is_missing_or_cut_short_is_refused(copied, refused):
    other = "scenes-clip-attention-1ep"
    refused(copied, rf"has no record in .*pytest 'bench/test_distill.py::test_distill\[{other}\]'$", other)
    path = record.path_of(copied, HEAD)
    path.write_text(path.read_text()[:500])
    refused(copied, "is not a usable record")


def test_options_that_differ_from_those_of_the_run_are_named(cases, results, tmp_path):
    other = replace(export.named(cases, HEAD), controls=("untrained",), learning_rate=0.5)
    changed = r"\(learning_rate 0.001, now 0.5; controls \['untrained', 'teacher'\], now \['untrained'\]\)"
    with pytest.raises(UserError, match=changed):
        export.export(other, results, tmp_path / "to")


def test_a_checkpoint_that_is_damaged_another_ones_or_missing_is_refused(copied, refused):
    path = checkpoint_of(copied, HEAD)
    flip(path, path.stat().st_size // 2)
    refused(copied, "is damaged.*--rerun all")
    shutil.copy(checkpoint_of(copied, PIXELS), path)
    refused(copied, "another configuration's")
    path.unlink()
    refused(copied, rf"is missing; .*again with: pytest 'bench/\S+\[{HEAD}\]' --rerun all --precision {PRECISION}$")


def test_a_reduction_that_is_gone_or_another_is_refused(results, copied, refused, tmp_path, monkeypatch):
    entry = record.read(record.path_of(copied, TOKENS))
    entry.metrics["explained_variance_text"] += 1e-6
    record.write(entry, copied)
    refused(copied, "not the one that the student was trained with", TOKENS)
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    refused(results, r"reduction\.safetensors is missing", TOKENS)
