"""The list of runs, and the table of members that each leaves."""

import csv
import fcntl
import json
import shutil

import numpy as np
import pytest

from experiments import runs
from experiments.support import tensorboard


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the trained run of two seeds."""
    return shutil.copytree(trained[0], tmp_path / "run")


def test_states(folder):
    """Mutants: a run that was killed called running, one of which a member lives called failed."""
    assert runs.read_row(folder).state == "finished"
    (folder / "summary.json").unlink()
    assert runs.read_row(folder).state == "stopped"
    with (folder / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert runs.read_row(folder).state == "running"
    assert runs.state_of(folder, np.array([np.nan, -90.0])) == "stopped"
    assert runs.state_of(folder, np.array([np.nan, np.nan])) == "failed"
    (folder / "config.json").write_text("{")
    assert runs.read_row(folder).state == "unreadable"


def test_the_list_of_a_folder(folder, capsys):
    """Worst and best ELBO of the last validation, read from metrics.jsonl here."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    last = [line for line in lines if line["split"] == "validation"][-1]
    runs.main(str(folder.parent))
    printed = capsys.readouterr().out
    assert f"{min(last['elbo']['members']):.2f} .. {max(last['elbo']['members']):.2f}" in printed
    assert f"{last['step']:,}" in printed


def test_differences_are_from_the_most_common_value():
    """By hand. Mutants: from the first run, fields that a run does not have."""
    configs = [{"a": 1, "b": 2}, {"a": 3, "b": 2}, {"a": 3}, {}]
    rows = [runs.Row("", "", 0, "", {"sweep": ""} | config) for config in configs]
    assert runs.differences(rows) == ["a=1", "", "", ""]


def test_results_are_the_numbers_of_the_summary(trained):
    """A row per member. Mutants: members exchanged, the mean over seeds."""
    rows = list(csv.DictReader((trained[0] / "results.csv").read_text().splitlines()))
    summary = json.loads((trained[0] / "summary.json").read_text())
    assert [row["member"] for row in rows] == summary["members"] == ["seed=0", "seed=1"]
    assert [row["seed"] for row in rows] == ["0", "1"]
    for name in ("elbo", "nll", "active_units"):
        assert [float(row[name]) for row in rows] == summary[name]["members"]


def test_sessions_of_members_are_read_by_their_format(tmp_path):
    """HParams of TensorBoard: fields, numbers of the test set but those that are NaN, the end.

    Read by the protocol buffers of tensorboardX. Mutants: numbers without a session, tuples.
    """
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    fields = {"objective.beta": 4.0, "vae.hidden": (3, 5), "vae.network": "mlp"}
    tensorboard.write_hparams(
        tmp_path, {"seed=1": (fields, {"elbo": -90.5, "nll": float("nan")})}, 7
    )
    (path,) = (tmp_path / "tensorboard" / "seed=1").iterdir()
    data, events = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        events.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    plugin = [
        HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in events
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    ]
    experiment, begin, end = plugin
    shown = begin.session_start_info.hparams
    assert shown["objective.beta"].number_value == 4
    assert shown["vae.hidden"].string_value == "(3, 5)"
    assert [each.name.tag for each in experiment.experiment.metric_infos] == ["test/elbo"]
    assert end.HasField("session_end_info")
    (scalar,) = [e for e in events if any(v.tag == "test/elbo" for v in e.summary.value)]
    assert scalar.step == 7 and scalar.summary.value[0].simple_value == -90.5
