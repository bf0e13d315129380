"""The README's Python runs as it stands there; its tree and table are those of the repository."""

import os
import re
import shlex
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.support.programs import ROOT, SMALL, run_program

README = (ROOT / "README.md").read_text()


def test_ten_lines_fit_a_vae_to_an_array():
    """A plane in five dimensions, seen with noise of 0.1: the bound approaches its entropy."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 2)) @ generator.normal(size=(2, 5))
    names = {"x": x + 0.1 * generator.normal(size=(2000, 5))}
    exec(code, names)
    assert names["codes"].shape == (200, 2)
    # The prior mean alone, with the scale of the noise, is hundreds of nats worse.
    assert names["metrics"]["elbo"][0] > -100
    assert names["metrics"]["elbo"].shape == (1,)


def test_tree_names_every_module():
    """A package within stands for its files: it has one line, which ends in a slash."""
    listed = set(re.findall(r"^((?:vae_jax|experiments)/\w+(?:\.py|/))", README, re.MULTILINE))
    modules = {
        f"{path.parent.name}/{path.name}{'/' if path.is_dir() else ''}"
        for folder in ("vae_jax", "experiments")
        for path in (ROOT / folder).iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }
    assert listed == modules


def test_ci_types_the_two_commands_of_the_readme():
    """As .ci/run takes them from the page: the first ones indented as code that install."""
    commands = re.findall(r"^    (pip install -e .*)$", README, re.MULTILINE)[:2]
    assert commands[0].endswith("&& python -m experiments.train --config=configs/beta.py")
    assert commands[1].endswith("&& pytest")
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


def test_table_names_every_config():
    listed = set(re.findall(r"^\| `configs/(\w+)\.py`", README, re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "configs").glob("*.py")}


def test_files_that_are_linked_exist():
    for target in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / target).exists(), target


def commands():
    """Return the training commands of the README, continued lines joined."""
    text = README.replace("\\\n", " ")
    lines = re.findall(r"^    (.*python -m experiments\.train .*)$", text, re.MULTILINE)
    return [line for line in lines if "pip install" not in line]


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_commands_run(command, tmp_path, tfds_dir):
    """Each command as it stands there, on real paths and for two short epochs."""
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((500, 7)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    replaced = {"DIR": tfds_dir, "HOST:PORT": address, "x.npz": f"{tmp_path}/x.npz"}
    for name, value in replaced.items():
        command = re.sub(rf"(?<==){name}", value, command)
    command = command.replace("--workdir=runs/elbo", "")
    size = "96" if "device_count=8" in command else "100"
    small = [*SMALL, f"--config.training.batch_size={size}", f"--workdir={tmp_path}/run"]
    environment = dict(re.findall(r"(XLA_FLAGS)=(\S+)", command))
    words = shlex.split(command.split("python -m ")[1])
    more = []
    if "process_index=0" in command:  # the other process
        other = [word.replace("process_index=0", "process_index=1") for word in words]
        small += ["--config.training.batch_size=100"]
        more = [subprocess.Popen([sys.executable, "-m", *other, *small], cwd=ROOT)]
    done = run_program(*words, *small, env=os.environ | environment)
    assert all(process.wait(60) == 0 for process in more)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "summary.json").exists()
