"""Logs as their tools read them: curves by name, (step, value) pairs."""

import json
import struct


def by_tensorboard(folder):
    """Those of an event file."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {
        name: [(each.step, float(each.tensor_proto.float_val[0])) for each in read.Tensors(name)]
        for name in read.Tags()["tensors"]
    }


def mlflow_run(folder):
    """The one run of a file store, and its client."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=folder.resolve().as_uri())
    experiment = client.get_experiment_by_name("batchgnn")
    (run,) = client.search_runs([experiment.experiment_id])
    return run, client


def by_mlflow(folder):
    """Those of the one run of a file store."""
    run, client = mlflow_run(folder)
    return {
        name: [(e.step, e.value) for e in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def wandb_records(data):
    """Those of a file, a LevelDB log after a head of 7 bytes; wandb has no reader in Python."""
    at, record = 7, b""
    while at + 7 <= len(data):
        if (room := 32768 - at % 32768) < 7:  # of a block: too little for a head
            at += room
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)  # after a checksum
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def by_wandb(folder):
    """Those of the one offline run."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("offline-run-*/*.wandb")
    curves = {}
    for data in wandb_records(file.read_bytes()):
        items = Record.FromString(data).history.item
        line = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in items}
        for name in line:
            curves.setdefault(name, []).append((line["_step"], line[name]))
    return curves


READERS = {"tensorboard": by_tensorboard, "mlflow": by_mlflow, "wandb": by_wandb}
