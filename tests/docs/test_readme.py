"""The README's Python runs as it stands there; its tree and table are those of the repository."""

import configparser
import os
import re
import shlex
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from configs import default
from tests.support.bounds import HAND_TERMS
from tests.support.programs import ROOT, SMALL, run_program
import vae_jax
from vae_jax.objectives import importance

README = (ROOT / "README.md").read_text()


PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def plane():
    """A plane in five dimensions, seen with noise of 0.1."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 2)) @ generator.normal(size=(2, 5))
    return x + 0.1 * generator.normal(size=(2000, 5))


def test_ten_lines_fit_a_vae_to_an_array(tmp_path, monkeypatch):
    """Within 10 lines, and 12 of the 100 epochs. Mutant: a file that is not of what was trained."""
    monkeypatch.chdir(tmp_path)
    code, _ = PYTHON
    assert len(re.findall(r"^\w", code, re.MULTILINE)) <= 10
    names = {"x": plane()}
    exec(code.replace("num_epochs=100", "num_epochs=12"), names)
    assert names["codes"].shape == (2000, 2) and names["draws"].shape == (10, 5)
    assert names["scores"].mean() > -8  # 7.3 by the marginals alone
    opened = vae_jax.load_model(tmp_path / "model.vae")
    np.testing.assert_array_equal(opened.encode(names["x"]), names["codes"])


def test_the_pieces_of_the_readme_train(tmp_path):
    """A plane in five dimensions, seen with noise of 0.1: 200 steps already leave the prior mean
    behind. Mutant: a step that does not update."""
    _, code = PYTHON
    names = {"x": plane()}
    exec(code.replace("data.train, 1000)", "data.train, 200)"), names)
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


def test_extras_that_are_named_exist():
    extras = configparser.ConfigParser()
    extras.read(ROOT / "setup.cfg")
    named = re.findall(r"'\.\[(\w+)\]'", README + (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) > 4 and set(named) <= set(extras["options.extras_require"])


def test_fields_that_are_named_exist():
    """Also of the commands that need a network, a GPU or several hosts. Mutant: a typo in one."""
    config = default.get_config()
    named = set(re.findall(r"--config\.([a-z_.]+)=", README))
    assert len(named) > 15
    for field in named:
        *block, name = field.split(".")
        assert name in (config[block[0]] if block else config), field


def test_the_objective_of_the_readme_is_what_it_says():
    """(1/a) log mean w^a of log-weights (-5, -10), in numpy; and a row among the others."""
    (code,) = re.findall(r"^(    def make_power.*?ROWS\[.*?)\n\n", README, re.DOTALL | re.MULTILINE)
    names = vars(importance).copy()
    exec(textwrap.dedent(code), names)
    expected = 2 * np.log(np.mean(np.exp(0.5 * np.array([-5.0, -10.0]))))
    assert set(names["ROWS"]) == {*importance.ROWS, "power"}
    recorded = []
    names["make_bound_objective"] = lambda bound, *_, **given: recorded.append((bound, given))
    names["make_power"]()
    ((bound, given),) = recorded
    assert bound(HAND_TERMS, given["hparams"], 0) == pytest.approx(expected, rel=1e-5)


def commands(program="train"):
    """Return the commands of the README that run a program, continued lines joined."""
    text = README.replace("\\\n", " ")
    lines = re.findall(rf"^    (.*python -m experiments\.{program} .*)$", text, re.MULTILINE)
    return [line for line in lines if "pip install" not in line]


@pytest.mark.slow
def test_evaluate_runs(trained):
    (command,) = commands("evaluate")
    command = command.replace("runs/elbo", str(trained[0])).replace("5000", "5")
    done = run_program(*shlex.split(command)[2:])
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_commands_run(command, tmp_path, tfds_dir):
    """Each command as it stands there, on real paths and for two short epochs."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.random((500, 7)))
    np.savez(tmp_path / "fields.npz", a=rng.random((500, 7)), b=rng.integers(0, 2, (500, 4)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    replaced = {"DIR": tfds_dir, "HOST:PORT": address, "(?=x.npz|fields.npz)": f"{tmp_path}/"}
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
