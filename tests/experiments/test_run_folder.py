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
from tests.support.programs import run_program, train, train_here, typed
from vae_jax import datasets
from vae_jax.lookup import options_of
from vae_jax.tables import TABLES


def test_config_json_is_what_the_run_resolved_to(trained):
    """All options of the chosen rows with their values, the likelihood that the data set chose, and
    no option of another row; nothing is unset. Mutants: the config as typed, None for defaults."""
    workdir, _ = trained
    content = json.loads((workdir / "config.json").read_text())
    assert content["layout"] == 6
    config = content["config"]
    assert config["vae"]["likelihood"] == "binomial" and config["vae"]["hidden"] == [16]
    assert (
        config["objective"]["beta"]
        == importlib.import_module("configs.beta").get_config().objective.beta
    )
    for block, tables in TABLES.items():
        names = {field: config[block][field] for field in tables}
        rows = [tables[field][name] for field, name in names.items() if name]
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
        del line["check"]
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


REFUSAL = r"was written by another version of vae_jax \(layout 1, this one reads 6\): its metrics"


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


@pytest.mark.parametrize("content", ["", "{", "[]", '{"config": 3}', '{"layout": 3}'])
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


LINES = [{"step": s, "split": "train", "elbo": -1.5 / s, "kl": None} for s in (7, 14, 21)]


@pytest.fixture
def metrics(tmp_path):
    for line in LINES:
        run_folder.append_metrics(tmp_path / "metrics.jsonl", line)
    return tmp_path / "metrics.jsonl"


def test_a_damaged_byte_loses_its_line_of_metrics_only(metrics):
    """Any byte of the second of three lines, each in a bit: the others stand. A line break turned
    into something else joins two lines. Mutants: no check, a check of the step alone."""
    content = metrics.read_bytes()
    assert run_folder.read_metrics(metrics) == LINES
    begin, end = (content.index(b'{"step": %d' % step) for step in (14, 21))
    for i in range(begin, end):
        damaged = bytearray(content)
        damaged[i] ^= 1 << i % 8
        metrics.write_bytes(damaged)
        left = run_folder.read_metrics(metrics)
        assert left == ([LINES[0]] if i == end - 1 else LINES[::2]), bytes(damaged)


def test_cut_metrics_keeps_what_is_whole_and_tells_it(metrics):
    """A torn last line, then a step to go back to; a missing file has no lines."""
    content = metrics.read_bytes()
    metrics.write_bytes(content[:-1])
    assert run_folder.cut_metrics(metrics, 21) == {(7, "train"), (14, "train")}
    assert metrics.read_bytes() == b"".join(content.splitlines(keepends=True)[:2])
    assert run_folder.cut_metrics(metrics, 7) == {(7, "train")}
    np.testing.assert_array_equal(run_folder.read_curves(metrics)["train"]["step"], [[7]])
    metrics.unlink()
    assert run_folder.cut_metrics(metrics, 21) == set()
    assert not metrics.exists()


def test_metrics_without_checks_are_read(tmp_path):
    """As earlier versions wrote them; what cannot be read is left out."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES) + '{"step": 2')
    assert run_folder.read_metrics(path) == LINES


@pytest.mark.parametrize("name", ["best", "checkpoints", "figures", "profile", "tensorboard"])
def test_a_file_in_the_place_of_a_folder_is_refused_before_training(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(ValueError, match=f"{name} is a file where a run keeps a folder: move it"):
        train_here(importlib.import_module("configs.beta").get_config(), tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["config.json", "lock", "metrics.jsonl", "summary.json"])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, name):
    run_folder.check_places(tmp_path)
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"{name} is a folder where a run keeps a file: move it"):
        run_folder.check_places(tmp_path)


def test_what_is_in_the_way_of_pictures_is_refused(tmp_path, monkeypatch):
    """Before anything is trained. Mutants: a member's own folder that is a file, as the end of a
    run found it; a folder in the place of a picture; no question of permission."""
    folder = tmp_path / "figures"
    run_folder.check_figures(folder, ["seed=0"])
    (folder / "seed=0" / "samples.png").mkdir(parents=True)
    (folder / "seed=1").write_text("")
    run_folder.check_figures(folder, [])  # a run of one member writes neither
    with pytest.raises(ValueError, match=r"seed=1 is a file where a run keeps a folder: move it"):
        run_folder.check_figures(folder, ["seed=1"])
    with pytest.raises(ValueError, match=r"samples.png is a folder where a picture belongs: move"):
        run_folder.check_figures(folder, ["seed=0"])
    monkeypatch.setattr(run_folder.os, "access", lambda place, _: place != folder)
    with pytest.raises(ValueError, match="figures cannot be written: change its permissions"):
        run_folder.check_figures(folder, [])


def test_a_file_for_a_members_pictures_is_refused_before_training(tmp_path):
    """Mutant: found out by drawing, at the end of the run."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "seed=1").write_text("")
    with pytest.raises(ValueError, match=r"seed=1 is a file where a run keeps a folder: move it"):
        train_here(typed("beta", "--config.num_seeds=2"), tmp_path)
    assert not (tmp_path / "config.json").exists()


def test_a_longer_run_keeps_its_warmup(tmp_path):
    """Which is unset: a tenth of the steps, until the folder has one. Mutants: that of the longer
    run, which was refused as another config; a number that is given, overwritten."""
    config = typed("beta", "--config.training.num_epochs=20")
    assert run_folder.keep_warmup(tmp_path, config).optimizer.warmup_steps is None
    begun = config.copy_and_resolve_references()
    begun.optimizer.warmup_steps = 24
    content = {"layout": run_folder.RUN_LAYOUT, "config": begun.to_dict()}
    run_folder.write_json(tmp_path / "config.json", content)
    config.training.num_epochs = 40
    longer = run_folder.keep_warmup(tmp_path, config)
    assert longer.optimizer.warmup_steps == 24 and config.optimizer.warmup_steps is None
    run_folder.check_config(tmp_path, longer.to_dict(), extend=True)
    with pytest.raises(ValueError, match=r"num_epochs was 20, is 40 \(--extend lengthens the run"):
        run_folder.check_config(tmp_path, longer.to_dict(), extend=False)
    # Another process, which has no folder, hears of it.
    with pytest.MonkeyPatch.context() as first:
        first.setattr(run_folder.processes, "agree", lambda _: np.array(24))
        assert run_folder.keep_warmup(tmp_path / "none", config).optimizer.warmup_steps == 24
    config.optimizer.warmup_steps = 7
    assert run_folder.keep_warmup(tmp_path, config).optimizer.warmup_steps == 7
