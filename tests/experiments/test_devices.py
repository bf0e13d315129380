"""Several devices and several processes compute what one does; only the first process writes."""

import os
import shutil
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.support import processes, run_folder
from experiments.support.loading import load_run
from tests.support.programs import ROOT, SMALL, train

# 26 steps of 96 examples: both are divided by eight devices, or else by two.
RUN = (
    *SMALL,
    "--config.num_seeds=2",
    "--config.training.batch_size=96",
    "--config.training.log_every_steps=1",
    "--config.training.eval_every_epochs=1",
    "--config.training.checkpoint_every_epochs=1",
    "--config.training.patience=9",
)
EIGHT = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The folder of a run on one device."""
    workdir = tmp_path_factory.mktemp("alone")
    done = train(workdir, *RUN)
    assert done.returncode == 0, done.stderr
    return workdir


def assert_same_run(workdir, expected):
    """The metrics of every step and all that is in the last checkpoint, to 1e-5."""
    files = (folder / "metrics.jsonl" for folder in (workdir, expected))
    ours, theirs = map(run_folder.read_curves, files)
    assert len(ours["train"]["step"]) == 26
    for split, curve in theirs.items():
        for name, values in curve.items():
            np.testing.assert_allclose(ours[split][name], values, rtol=1e-5, err_msg=name)
    states = [load_run(folder)[2] for folder in (workdir, expected)]
    trees = [(state.params, state.opt_state) for state in states]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *trees)


@pytest.mark.slow
def test_eight_devices_equal_one_and_one_goes_on_after_eight(alone, tmp_path):
    """A batch over eight devices; then the last epoch again on one, from the eight's checkpoint."""
    done = train(tmp_path, *RUN, env=EIGHT)
    assert done.returncode == 0, done.stderr
    assert "batch divided among 8" in done.stdout
    assert_same_run(tmp_path, alone)
    shutil.rmtree(tmp_path / "checkpoints" / "26")
    done = train(tmp_path, *RUN)
    assert done.returncode == 0, done.stderr
    assert "divided" not in done.stdout
    assert_same_run(tmp_path, alone)


def start_process(workdir, port, index):
    command = [sys.executable, "-m", "experiments.train", "--config=configs/beta.py"]
    block = {"coordinator": f"127.0.0.1:{port}", "num_processes": 2, "process_index": index}
    flags = [f"--config.distributed.{name}={value}" for name, value in block.items()]
    return subprocess.Popen(
        [*command, *RUN, *flags, f"--workdir={workdir}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_equal_one(alone, tmp_path):
    """One seed on each; the second process writes nothing and is silent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ("first", "second")
    processes = [start_process(tmp_path / name, port, i) for i, name in enumerate(names)]
    try:
        printed, said = zip(*(each.communicate(timeout=200) for each in processes), strict=True)
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    assert "members divided among 2" in printed[0] and "ELBO" not in printed[1]
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    assert_same_run(tmp_path / "first", alone)


def test_a_process_that_is_none_is_refused():
    with pytest.raises(
        ValueError, match=r"process_index must lie in 0 \.\. num_processes - 1, got 2 of 2"
    ):
        processes.connect("127.0.0.1:1", 2, 2)
