"""The programs, run as their user runs them."""

import importlib
import json
import os
import re

import numpy as np
import pytest

from experiments.support import cli, run_folder
from tests.experiments import test_family
from tests.support.programs import ROOT, TRAINED, run_program, train, train_here, with_fields

CONFIGS = sorted(
    path.stem
    for path in (ROOT / "configs").glob("*.py")
    if path.stem not in ("__init__", *test_family.CONFIGS)
)


# Beta is the run of the commands, default, elbo and iwae differ from it in numbers, and vampprior
# trains among the combinations of rows.
@pytest.mark.slow
@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_runs(tmp_path, config):
    """Two epochs of each config, on the digits; those of test_family have theirs there."""
    fields = importlib.import_module(f"configs.{config}").get_config()
    fields.data.name = "digits"
    fields.vae.hidden = (16,)
    fields.training.num_epochs = 2
    fields.training.batch_size = 100
    fields.optimizer.warmup_steps = 5
    fields.evaluation.num_samples = 3
    train_here(fields, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert np.isfinite([summary["elbo"], summary["nll"]]).all()
    assert summary["test_examples"] == 359


def test_files_of_a_run(trained):
    workdir, _ = trained
    assert (workdir / "figures" / "curves.png").exists()
    names = "reconstructions samples overview traversal interpolation latent_means"
    for seed in (0, 1):
        pictures = {path.name for path in (workdir / "figures" / f"seed={seed}").iterdir()}
        assert pictures == {f"{name}.png" for name in names.split()}
    saved = json.loads((workdir / "config.json").read_text())
    assert saved["config"]["objective"]["beta"] == 3.0
    assert {"jax", "flax"} <= saved["versions"].keys() and saved["device"] and saved["data"]
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 36
    for line in lines:
        for i in range(2):
            elbo, kl, fit = (line[name]["members"][i] for name in ("elbo", "kl", "reconstruction"))
            assert abs(elbo - (fit - kl)) < 1e-3 and kl > 0 > fit
    train_line = next(line for line in lines if line["split"] == "train")
    two = train_line["elbo"]["members"]
    assert two[0] != two[1]
    point = train_line["elbo"]["points"]["mean"]
    assert abs(point["mean"] - np.mean(two)) < 1e-6
    error = abs(two[0] - two[1]) / 2  # standard deviation of two over the root of two
    assert abs(point["standard_error"] - error) < 1e-6
    assert (point["over"], point["num_seeds"]) == ("seeds", 2)


def test_screen_of_a_run(trained):
    """Header, plain progress lines (no terminal here) and the table of both seeds."""
    _, printed = trained
    for word in ("device", "17 levels", "binomial", "parameters", "beta=3.0", "active"):
        assert word in printed
    assert re.search(
        r"36/36  ELBO -\d+\.\d\d  KL \d+\.\d\d  reconstruction -.* nats  .* examples/s", printed
    )
    assert re.search(r"seed=1 +│ +-\d+\.\d\d", printed)
    assert re.search(r"mean, over seeds +│ +-\d+\.\d\d \+- \d", printed)
    assert "\x1b" not in printed


@pytest.mark.slow
def test_evaluate_gives_the_summarys_numbers(trained):
    """The same noise and bits again, from the checkpoint."""
    workdir, _ = trained
    summary = json.loads((workdir / "summary.json").read_text())
    done = run_program("experiments.evaluate", f"--workdir={workdir}", "--num_samples=100")
    assert done.returncode == 0, done.stderr
    measured = json.loads((workdir / "evaluation.json").read_text())
    np.testing.assert_allclose(measured["nll"]["members"], summary["nll"]["members"])


@pytest.mark.slow
def test_a_run_again_is_the_same_run(trained, tmp_path):
    workdir, _ = trained
    done = train(tmp_path, *TRAINED)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "metrics.jsonl").read_bytes() == (workdir / "metrics.jsonl").read_bytes()


def test_a_changed_config_on_an_old_workdir_is_refused(trained):
    workdir, _ = trained
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    config = with_fields(run_folder.read_config(workdir), objective__beta=7.0)
    with pytest.raises(ValueError, match=r"objective\.beta was 3\.0, is 7\.0"):
        train_here(config, workdir)
    assert before == {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}


@pytest.mark.slow
def test_evaluating_what_is_no_run_is_refused(tmp_path):
    done = run_program("experiments.evaluate", f"--workdir={tmp_path}")
    assert done.returncode == 2 and "holds no run" in done.stderr


def test_divergence_stops_with_the_step_and_the_terms(trained, tmp_path, capsys):
    config = run_folder.read_config(trained[0])
    config = with_fields(config, num_seeds=1, optimizer__learning_rate=1e30)
    with pytest.raises(SystemExit) as ended, cli.user_errors():
        train_here(config, tmp_path)
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "NaN or infinite" in said and said.count("\n") == 1


@pytest.mark.slow
def test_mnist_by_the_command(tfds_dir, tmp_path):
    """Real MNIST through TFDS without TensorFlow, by the config of the README."""
    arguments = (f"--config.data.data_dir={tfds_dir}", "--config.training.num_epochs=1")
    more = ("--config.optimizer.warmup_steps=50", "--config.evaluation.num_samples=2")
    as_users = os.environ | {"XLA_FLAGS": ""}  # unoptimized, an epoch takes long
    done = train(tmp_path, *arguments, *more, config="elbo", env=as_users)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["test_examples"] == 10000
    assert summary["protocol"] == "mnist, binarization dynamic"
    # After one epoch the bound is far above that of independent pixels, about -206 nats.
    assert summary["elbo"] > -170
