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


def test_an_unknown_case_is_answered_with_the_nearest(cases):
    with pytest.raises(UserError, match=f"unknown case 'shapes-dino-projecton-1ep', did you mean '{HEAD}'"):
        export.named(cases, "shapes-dino-projecton-1ep")


def test_a_case_that_did_not_run_is_refused_with_the_command_that_runs_it_and_no_other(tmp_path, capsys):
    case, to = "shapes-dino-densenet-4ep", tmp_path / "to"
    assert main(["export", case, "--profile", "ci", "--results", str(tmp_path), "--to", str(to)]) == 2
    command = f"pytest 'bench/test_distill.py::test_distill[{case}]' --profile ci --results {tmp_path}\n"
    message = capsys.readouterr().err
    assert "has no record in" in message and message.endswith(f"run it with: {command}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "failed", "message": "the loss is nan"}, r"is failed, not done \(the loss is nan\)"),
        (
            {"fingerprint": "0123456789abcdef"},
            rf"another configuration.*\(code, data or weights changed\).*or run it with: pytest 'bench/\S+\[{HEAD}\]' "
            rf"--precision {PRECISION}$",  # that of the record
        ),
    ],
)
def test_a_record_of_a_failed_case_or_of_another_configuration_is_refused(copied, refused, changes, message):
    record.write(record.load(copied, HEAD).model_copy(update=changes), copied)
    refused(copied, message)


def test_options_that_differ_from_those_of_the_run_are_named(cases, results, tmp_path):
    other = replace(export.named(cases, HEAD), controls=("untrained",), learning_rate=0.5)
    differences = r"\(learning_rate 0.001, now 0.5; controls \['untrained', 'teacher'\], now \['untrained'\]\)"
    with pytest.raises(UserError, match=differences):
        export.export(other, results, tmp_path / "to")


def test_a_checkpoint_that_is_damaged_missing_or_anothers_is_refused(copied, refused):
    path = checkpoint_of(copied, HEAD)
    flip(path, path.stat().st_size // 2)
    refused(copied, "is damaged.*--rerun all")
    path.unlink()
    refused(copied, rf"is missing.*again with: pytest 'bench/\S+\[{HEAD}\]' --rerun all --precision {PRECISION}$")
    shutil.copy(checkpoint_of(copied, PIXELS), path)
    refused(copied, "another configuration's")


def test_a_reduction_that_is_gone_or_another_is_refused(results, copied, refused, tmp_path, monkeypatch):
    entry = record.load(copied, TOKENS)
    entry.metrics["explained_variance_text"] += 1e-6
    record.write(entry, copied)
    refused(copied, "not the one that the student was trained with", TOKENS)
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    refused(results, r"reduction\.safetensors is missing", TOKENS)


def test_a_teacher_that_was_exchanged_since_is_refused(copied, refused):
    entry = record.load(copied, HEAD)
    entry.protocol["teacher_weights_sha256"] = "0" * 64
    record.write(entry, copied)
    refused(copied, "teacher dino has other weights")


def test_a_record_in_a_published_reports_file_is_exported_too(cases, copied, tmp_path):
    record.publish(record.read_all(copied)[0].values(), copied)
    shutil.rmtree(copied / "records")
    assert export.export(export.named(cases, HEAD), copied, tmp_path / "to")
