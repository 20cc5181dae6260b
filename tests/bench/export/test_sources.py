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


def test_a_case_that_did_not_run_is_refused(results, refused):
    refused(
        results,
        r"has no record in .*pytest 'bench/test_distill.py::test_distill\[scenes-clip-attention-1ep\]'$",
        "scenes-clip-attention-1ep",
    )


def test_the_advice_is_a_command_that_runs_the_case_and_no_other(tmp_path, capsys):
    case, to = "shapes-dino-densenet-4ep", tmp_path / "to"
    assert main(["export", case, "--profile", "ci", "--results", str(tmp_path), "--to", str(to)]) == 2
    told = f"run it with: pytest 'bench/test_distill.py::test_distill[{case}]' --profile ci --results {tmp_path}\n"
    assert told in capsys.readouterr().err


def test_a_missing_checkpoint_is_trained_again_in_its_precision(copied, refused):
    checkpoint_of(copied, HEAD).unlink()
    refused(copied, rf"again with: pytest 'bench/\S+\[{HEAD}\]' --rerun all --precision {PRECISION}$")


def rewrite(folder, **changes):
    record.write(record.load(folder, HEAD).model_copy(update=changes), folder)


def test_a_record_that_does_not_fit_is_made_again_in_its_precision(copied, refused):
    rewrite(copied, fingerprint="0123456789abcdef")
    refused(copied, rf"or run it with: pytest 'bench/\S+\[{HEAD}\]' --precision {PRECISION}$")


def test_a_case_that_failed_is_refused(copied, refused):
    rewrite(copied, status="failed", message="the loss is nan")
    refused(copied, r"is failed, not done \(the loss is nan\)")


def test_a_record_that_is_cut_short_is_refused(copied, refused):
    path = record.path_of(copied, HEAD)
    path.write_text(path.read_text()[:500])
    refused(copied, "is not a usable record")


def test_a_record_of_another_configuration_is_refused(copied, refused):
    rewrite(copied, fingerprint="0123456789abcdef")
    refused(copied, r"another configuration.*\(code, data or weights changed\)")


def test_options_that_differ_from_those_of_the_run_are_named(cases, results, tmp_path):
    other = replace(export.named(cases, HEAD), controls=("untrained",), learning_rate=0.5)
    with pytest.raises(
        UserError, match=r"\(learning_rate 0.001, now 0.5; controls \['untrained', 'teacher'\], now \['untrained'\]\)"
    ):
        export.export(other, results, tmp_path / "to")


def test_a_missing_or_damaged_checkpoint_is_refused(copied, refused, tmp_path):
    path = checkpoint_of(copied, HEAD)
    flip(path, path.stat().st_size // 2)
    refused(copied, "is damaged.*--rerun all")
    (tmp_path / "refused").rmdir()
    path.unlink()
    refused(copied, "is missing.*--rerun all")


def test_a_checkpoint_of_another_run_is_refused(copied, refused):
    shutil.copy(checkpoint_of(copied, PIXELS), checkpoint_of(copied, HEAD))
    refused(copied, "another configuration's")


def test_a_reduction_that_is_gone_or_another_is_refused(results, copied, refused, tmp_path, monkeypatch):
    found = record.read(record.path_of(copied, TOKENS))
    found.metrics["explained_variance_text"] += 1e-6
    record.write(found, copied)
    refused(copied, "not the one that the student was trained with", TOKENS)
    (tmp_path / "refused").rmdir()
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path))
    refused(results, r"reduction\.safetensors is missing", TOKENS)


def test_a_teacher_that_was_exchanged_since_is_refused(copied, refused):
    found = record.read(record.path_of(copied, HEAD))
    found.protocol["teacher_weights_sha256"] = "0" * 64
    record.write(found, copied)
    refused(copied, "teacher dino has other weights")


def test_a_record_in_a_published_reports_file_is_exported_too(cases, copied, tmp_path):
    record.publish(record.read_all(copied)[0].values(), copied)
    shutil.rmtree(copied / "records")
    assert export.export(export.named(cases, HEAD), copied, tmp_path / "to")
