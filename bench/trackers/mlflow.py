"""MLflow: the store that MLFLOW_TRACKING_URI names, else a database in the results folder, ``mlflow/mlflow.db``."""

import os
from pathlib import Path

from bench.kit.errors import UserError
from bench.trackers import Run

KEY, DIGEST = "distill-bench.key", "distill-bench.digest"
AT_ONCE = 1000  # metrics that MLflow takes in a batch


def send(run: Run, folder: Path) -> str:
    """Send the run into the experiment of its profile, instead of an older one; returns the store's address."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    own, address = folder / "mlflow", os.environ.get("MLFLOW_TRACKING_URI")
    if not address:
        own.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(address or f"sqlite:///{own / 'mlflow.db'}")
    name = f"distill-bench {run.profile}"
    known = client.get_experiment_by_name(name)
    artifacts = None if address else (own.resolve() / "artifacts").as_uri()
    if known and artifacts not in (None, known.artifact_location):
        raise UserError(f"{own} was made elsewhere and keeps files in {known.artifact_location}: delete it")
    experiment = known.experiment_id if known else client.create_experiment(name, artifact_location=artifacts)
    older = client.search_runs([experiment], f"tags.`{KEY}` = '{run.key}'")
    same = [each for each in older if each.data.tags.get(DIGEST) == run.digest and each.info.status == "FINISHED"]
    for each in older:
        if each not in same[:1]:
            client.delete_run(each.info.run_id)
    if same:
        number = same[0].info.run_id
    else:
        at = int(1000 * run.started.timestamp()) if run.started else None
        number = client.create_run(experiment, at, {KEY: run.key}, run.name).info.run_id
        points = [(key, value, epoch) for epoch, values in run.curve.items() for key, value in values.items()]
        points += [(key, value, max(run.curve)) for key, value in run.metrics.items()]
        metrics = [Metric(key, value, at, epoch) for key, value, epoch in points]
        client.log_batch(number, params=[Param(key, str(value)) for key, value in run.parameters.items()])
        for start in range(0, len(metrics), AT_ONCE):
            client.log_batch(number, metrics=metrics[start : start + AT_ONCE])
    for kind, paths in run.files.items():
        for path in paths:
            (client.log_artifacts if path.is_dir() else client.log_artifact)(number, str(path), kind)
    if not same:
        client.set_tag(number, DIGEST, run.digest)
        client.set_terminated(number)
    return client.tracking_uri
