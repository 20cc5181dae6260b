"""What trackers were sent reads back by their own readers as the records, once for each case however often it is sent."""

import json
import struct
import time
from argparse import ArgumentError
from contextlib import nullcontext
from dataclasses import replace

import pytest
from filelock import FileLock, Timeout

from bench import report, trackers
from bench.kit.errors import UserError
from bench.plan import matrix
from bench.results import record
from tests.bench.made import made
from tests.bench.test_options import parser

CASES = [case for case in matrix.cases(matrix.load(), "ci", controls=()) if case.student == "projection"]
IDS = [case.id for case in CASES]


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder with two finished records and a report; no tracker of the user's is touched."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for case in CASES:
        entry = made(case)
        entry.metrics["energy_mj_per_image"] = None
        record.write(entry, tmp_path)
    (tmp_path / "report.md").write_text("# The report")
    (tmp_path / "accuracy.svg").write_text("<svg/>")
    return tmp_path


def send(name, folder, cases=CASES, export=None):
    def task(text):
        return nullcontext(lambda done, total: None)

    records, files = [record.load(folder, case.id) for case in cases], () if export else report.files(folder)
    return trackers.log([name], folder, "ci", records, task, files, export)


def measured(folder, case):
    """All that was measured of a case, and its curve by epoch, as the record's file has it."""
    entry = json.loads(record.path_of(folder, case.id).read_text())
    values = {name: one["value"] for name, one in entry["metrics"].items() if one["value"] is not None}
    values |= {f"teacher/{name}": one["value"] for name, one in entry["teacher"].items()}
    for control, scores in entry["controls"].items():
        values |= {f"controls/{control}/{name}": one["value"] for name, one in scores.items()}
    curve = {
        (f"curve/{name}", point["epoch"]): value
        for point in entry["curve"]
        for name, value in point.items()
        if name != "epoch"
    }
    return values, curve


@pytest.fixture
def exported(tmp_path):
    """A folder like an exported student's."""
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "README.md").write_text("# A card")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


class TestMLflow:
    @pytest.fixture(autouse=True)
    def store(self, results, monkeypatch):
        """MLflow's own files, which its database is slower than."""
        pytest.importorskip("mlflow")
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", (results / "runs").as_uri())

    def runs(self):
        """The client, and all runs by name: no two have the same."""
        from mlflow import MlflowClient

        client = MlflowClient()
        found = client.search_runs([client.get_experiment_by_name("distill-bench ci").experiment_id])
        by_name = {run.info.run_name: run for run in found}
        assert len(found) == len(by_name)
        return client, by_name

    def test_a_run_has_parameters_curve_and_metrics(self, results):
        [line] = send("mlflow", results)
        assert line.startswith("3 runs sent to mlflow: file:")
        client, runs = self.runs()
        assert runs.keys() == {*IDS, "report"}
        for case in CASES:
            run, (values, curve) = runs[case.id], measured(results, case)
            assert run.info.status == "FINISHED"
            assert run.data.params.items() >= {"loss": case.loss, "seed": "0", "control": "none"}.items()
            assert run.data.params["fingerprint"] == case.fingerprint
            assert {name: value for name, value in run.data.metrics.items() if "curve/" not in name} == values
            names = {name for name, _ in curve}
            points = {
                (name, one.step): one.value
                for name in names
                for one in client.get_metric_history(run.info.run_id, name)
            }
            assert points == curve

    def test_the_report_and_an_export_are_its_files(self, results, exported):
        send("mlflow", results)
        send("mlflow", results, CASES[:1], exported)
        client, runs = self.runs()
        files = {
            name: {each.path for each in client.list_artifacts(runs[run].info.run_id, name)}
            for name, run in (("report", "report"), ("export", IDS[0]))
        }
        assert files["report"] == {"report/report.md", "report/accuracy.svg"}
        assert files["export"] == {"export/README.md", "export/model.safetensors"}

    def test_what_is_sent_again_is_there_once(self, results):
        send("mlflow", results)
        _, before = self.runs()
        changed = record.load(results, IDS[0])
        changed.metrics["size_mb"] = 7.0
        record.write(changed, results)
        send("mlflow", results)
        _, after = self.runs()
        assert after.keys() == before.keys() and after[IDS[0]].data.metrics["size_mb"] == 7.0
        assert {name for name in after if after[name].info.run_id == before[name].info.run_id} == {IDS[1], "report"}

    def test_a_store_that_cannot_be_reached_says_how_to_send_later(self, results, monkeypatch):
        monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")
        with pytest.raises(UserError, match=r"--log mlflow: MlflowException: .*report --log mlflow sends them again"):
            send("mlflow", results)

    def test_a_store_whose_results_folder_was_moved_does_not_write_to_where_it_was(self, results, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        send("mlflow", results)
        moved = results.rename(results.with_name("moved"))
        with pytest.raises(
            UserError, match=r"moved/mlflow was made elsewhere and keeps files in .*: delete it; the rec"
        ):
            send("mlflow", moved)
        assert not results.exists()


class TestTensorBoard:
    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("tensorboard")

    def events(self, folder, name):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder / "tensorboard" / name), size_guidance={"scalars": 0})
        return events.Reload()

    def test_events_are_the_curve_the_metrics_and_the_report(self, results):
        for _ in range(2):
            send("tensorboard", results)
        assert sorted(path.name for path in (results / "tensorboard").iterdir()) == sorted([*IDS, "report"])
        for case in CASES:
            events, (values, curve) = self.events(results, case.id), measured(results, case)
            points = {(tag, one.step): one.value for tag in events.Tags()["scalars"] for one in events.Scalars(tag)}
            assert sum(len(events.Scalars(tag)) for tag in events.Tags()["scalars"]) == len(points)
            expected = curve | {(name, case.epochs): value for name, value in values.items()}
            assert points == pytest.approx(expected, rel=1e-6)  # single precision
        [text] = self.events(results, "report").Tensors("report/text_summary")
        assert text.tensor_proto.string_val == [b"# The report"]

    def test_parameters_are_those_of_its_hparams_page(self, results):
        from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data

        send("tensorboard", results)
        content = self.events(results, IDS[0]).SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
        parameters = parse_session_start_info_plugin_data(content).hparams
        assert parameters["loss"].string_value == CASES[0].loss and parameters["epochs"].number_value == CASES[0].epochs


class TestWandb:
    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("wandb")

    def read(self, path):
        """The records of a run's offline file, which is a log in LevelDB's format after seven bytes."""
        from wandb.proto.wandb_internal_pb2 import Record

        content, at, part, entries = path.read_bytes(), 7, b"", []
        while at + 7 <= len(content):
            if (left := 32768 - at % 32768) < 7:  # the rest of a block is padding
                at += left
                continue
            _, size, kind = struct.unpack("<IHB", content[at : at + 7])
            part, at = part + content[at + 7 : at + 7 + size], at + 7 + size
            if kind in (1, 4):  # whole, or the last part
                entries.append(Record.FromString(part))
                part = b""
        return entries

    def entries(self, folder, name):
        runs = {}
        for path in folder.glob("wandb/offline-run-*/run-*.wandb"):
            while not (entries := self.read(path)) or not entries[-1].HasField("exit"):
                time.sleep(0.01)  # a process of its library's writes the end some 10 ms after the run is closed
            title = next(one.run.display_name for one in entries if one.HasField("run"))
            assert runs.setdefault(title, entries) is entries, f"{title} is there twice"
        return runs[name]

    def test_the_offline_files_have_parameters_curve_metrics_and_files(self, results, exported):
        for _ in range(2):
            send("wandb", results)
        values, curve = measured(results, CASES[0])
        entries = self.entries(results, IDS[0])
        [run] = [one.run for one in entries if one.HasField("run")]
        assert (run.project, run.run_group) == ("distill-bench", "ci")
        config = {one.key: json.loads(one.value_json) for one in run.config.update}
        assert config["loss"] == CASES[0].loss and config["fingerprint"] == CASES[0].fingerprint
        points = {}
        for one in entries:
            if one.HasField("history"):
                items = {
                    "/".join(each.nested_key) or each.key: json.loads(each.value_json) for each in one.history.item
                }
                points |= {(name, items["epoch"]): value for name, value in items.items() if name.startswith("curve/")}
        assert points == curve
        summary = {}
        for one in entries:
            for each in one.summary.update:
                summary[each.key or "/".join(each.nested_key)] = json.loads(each.value_json)
        assert values.items() <= summary.items()
        [artifact] = [one.artifact for one in self.entries(results, "report") if one.HasField("artifact")]
        assert {each.path for each in artifact.manifest.contents} == {"report.md", "accuracy.svg"}
        send("wandb", results, CASES[:1], exported)
        [artifact] = [one.artifact for one in self.entries(results, IDS[0]) if one.HasField("artifact")]
        assert {each.path for each in artifact.manifest.contents} == {"README.md", "model.safetensors"}


def test_sessions_that_end_at_the_same_moment_send_one_after_the_other(results, monkeypatch):
    pytest.importorskip("tensorboard")

    def sent(run, folder):
        with pytest.raises(Timeout):
            FileLock(folder / "trackers.lock", timeout=0).acquire()

    monkeypatch.setattr("bench.trackers.tensorboard.send", sent)
    assert send("tensorboard", results) == ["3 runs sent to tensorboard: None"]


def test_a_case_that_is_not_done_is_not_sent(results):
    failed = made(CASES[0])
    failed.status = "failed"
    assert trackers.log(["tensorboard"], results / "none", "ci", [failed], None) == ["nothing to log: no case is done"]


def test_a_run_keeps_its_key_until_its_fingerprint_changes():
    first, again = (trackers.run_of(made(CASES[0], accuracy), "ci") for accuracy in (50.0, 60.0))
    other = trackers.run_of(made(replace(CASES[0], seed=1)), "ci")
    assert first.key == again.key != other.key and first.digest != again.digest


def test_trackers_are_named_by_commas_or_repeated_and_must_be_installed(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: name != "sqlalchemy")
    options = parser("pytest").parse_args(["--log", "tensorboard,wandb", "--log", "wandb"])
    assert options.log == ["tensorboard", "wandb", "wandb"]
    with pytest.raises(ArgumentError, match="mlflow needs sqlalchemy: install it with uv sync --extra mlflow"):
        parser("pytest").parse_args(["--log", "mlflow"])
    with pytest.raises(ArgumentError, match="unknown tracker 'mlfow', did you mean 'mlflow'"):
        parser("pytest").parse_args(["--log", "mlfow"])
