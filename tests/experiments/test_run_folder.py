"""What a run leaves in its folder, and folders that an earlier version left."""

import importlib
import json
import re
import shutil

import numpy as np
import pytest

from experiments import encode, sample
from experiments.support import cli, run_folder
from experiments.support.assembly import build_run
from experiments.support.loading import load_run
from experiments.support.options import resolve
from tests.support.programs import run_program, train
from vae_jax import datasets
from vae_jax.lookup import options_of
from vae_jax.tables import TABLES


def test_config_json_is_what_the_run_resolved_to(trained):
    """All options of the chosen rows with their values, the likelihood that the data set chose, and
    no option of another row; nothing is unset. Mutants: the config as typed, None for defaults."""
    workdir, _ = trained
    content = json.loads((workdir / "config.json").read_text())
    assert content["layout"] == 3
    config = content["config"]
    assert config["vae"]["likelihood"] == "binomial" and config["vae"]["hidden"] == [16]
    assert (
        config["objective"]["beta"]
        == importlib.import_module("configs.beta").get_config().objective.beta
    )
    for block, tables in TABLES.items():
        rows = [table[config[block][field]] for field, table in tables.items()]
        every = {o for table in tables.values() for row in table.values() for o in options_of(row)}
        taken = {option for row in rows for option in options_of(row)}
        assert every & set(config[block]) == taken
        assert None not in config[block].values()


def test_a_run_is_built_from_config_json_alone(trained, tmp_path):
    """Defaults are read from it, not from the rows: a default that changes later does not reach an
    old run. And resolving it again changes nothing."""
    workdir, _ = trained
    config = run_folder.read_config(workdir)
    again, notes = resolve(config)
    assert again.to_dict() == config.to_dict() and notes == []
    assert build_run(config).config.to_dict() == config.to_dict()
    run, _, state = load_run(workdir)
    assert run.config.to_dict() == config.to_dict() and int(state.step) == 36
    content = json.loads((workdir / "config.json").read_text())
    content["config"]["vae"]["activation"] = "relu"  # as if the default had been another one
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert build_run(run_folder.read_config(tmp_path)).config.vae.activation == "relu"


@pytest.fixture(scope="module")
def former(trained, tmp_path_factory):
    """A folder as versions before layout 2 left it: rate and distortion, no "layout"."""
    folder = tmp_path_factory.mktemp("former") / "run"
    shutil.copytree(trained[0], folder)
    content = json.loads((folder / "config.json").read_text())
    del content["layout"]
    (folder / "config.json").write_text(json.dumps(content))
    lines = []
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        fit = line.pop("reconstruction")
        line["rate"] = line.pop("kl")
        line["distortion"] = {"members": [-each for each in fit["members"]], "points": {}}
        lines.append(json.dumps(line) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def test_metrics_of_the_former_layout_are_read(former, trained):
    """rate is the KL, distortion the reconstruction with its sign turned."""
    ours, theirs = (run_folder.read_curves(f / "metrics.jsonl") for f in (trained[0], former))
    assert ours.keys() == theirs.keys() == {"train", "validation"}
    for split, curve in ours.items():
        assert theirs[split].keys() == curve.keys() >= {"kl", "reconstruction"}
        for name, values in curve.items():
            np.testing.assert_array_equal(theirs[split][name], values, err_msg=name)


REFUSAL = r"was written by another version of vae_jax \(layout 1, this one reads 3\): its metrics"


@pytest.mark.slow
def test_the_former_layout_is_refused_by_the_commands(former):
    """Resuming and evaluating: exit code 2, one line, and the folder is left as it is."""
    before = {path: path.stat().st_mtime_ns for path in former.rglob("*")}
    resumed = train(former, "--config.vae.hidden=(16,)")
    evaluated = run_program("experiments.evaluate", f"--workdir={former}")
    for done in (resumed, evaluated):
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert re.search(REFUSAL, done.stderr), done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in former.rglob("*")}


def test_the_former_layout_is_refused_by_encode_and_sample(former, tmp_path, capsys):
    """In the same line, before anything is written."""
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 8, 8, 1), np.uint8))
    output = str(tmp_path / "out.npz")
    for call in (
        lambda: encode.encode_file(str(former), str(tmp_path / "x.npz"), output, 0, 1),
        lambda: sample.sample_to_file(str(former), output, 0, 2, 0),
    ):
        with pytest.raises(SystemExit) as ended, cli.user_errors():
            call()
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.count("\n") == 1 and re.search(REFUSAL, said), said
    assert {each.name for each in tmp_path.iterdir()} == {"x.npz"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": 3}', '{"layout": 2}'])
def test_a_damaged_config_is_said(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="is damaged: it holds no config"):
        run_folder.read_config(tmp_path)


def test_data_that_changed_are_refused(tmp_path):
    """With both fingerprints; a folder without a run, and the same data, are accepted."""
    run_folder.check_data(tmp_path, "new")
    data = datasets.load_digits()
    run_folder.write_config(tmp_path, {"seed": 0}, "cpu", data, "old", ["seed=0"])
    run_folder.check_data(tmp_path, "old")
    with pytest.raises(ValueError, match=r"with the fingerprint old, .* have new now"):
        run_folder.check_data(tmp_path, "new")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is damaged"):
        run_folder.check_data(tmp_path, "old")
