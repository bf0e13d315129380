"""Every config's command gives the numbers that the config states."""

import importlib
import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

from tests.support.programs import ROOT

NAMES = sorted(path.stem for path in (ROOT / "configs").glob("[!_]*.py"))
CONFIGS = {name: importlib.import_module(f"configs.{name}") for name in NAMES}
EXPECTED = {name: c.EXPECTED for name, c in CONFIGS.items() if "EXPECTED" in vars(c)}
PUBLISHED = {"mnist", "binarized_mnist"}  # data that do not come with the package


@pytest.mark.parametrize("name", NAMES)
def test_header_names_the_command(name):
    """The docstring's command is the one that runs this file."""
    assert f"python -m experiments.train --config=configs/{name}.py" in CONFIGS[name].__doc__


@pytest.mark.parametrize("name", EXPECTED)
def test_expectations_can_fail(name):
    """A tolerance is far smaller than what overfitting or a wrong beta changes."""
    numbers = {key: value for key, value in EXPECTED[name].items() if key != "minutes"}
    assert {"nll", "elbo", "kl"} <= numbers.keys() and EXPECTED[name]["minutes"] > 0
    for key in ("nll", "elbo", "kl"):
        value, tolerance = numbers[key]
        assert 0 < tolerance <= 0.02 * abs(EXPECTED[name]["elbo"][0]), (key, value)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_config_gives_what_it_states(name, tmp_path, request):
    """As a user runs it: compiled as usual, in the folder's own time; seed 0, on the test set."""
    config = CONFIGS[name].get_config()
    data = []
    if config.data.name in PUBLISHED:
        data = [f"--config.data.data_dir={request.getfixturevalue('tfds_dir')}"]
    command = [sys.executable, "-m", "experiments.train", f"--config=configs/{name}.py"]
    environment = os.environ | {"XLA_FLAGS": ""}  # the tests' own flags slow long runs down
    done = subprocess.run(
        [*command, f"--workdir={tmp_path}", *data],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    check(json.loads(Path(tmp_path, "summary.json").read_text()), EXPECTED[name])


def check(summary, expected):
    """Compare what a run wrote with (value, tolerance) of each of its numbers."""
    wrong = {
        key: summary[key]
        for key, stated in expected.items()
        if key != "minutes" and not abs(summary[key] - stated[0]) <= stated[1]
    }
    assert not wrong, f"{wrong}, expected {expected}"


def test_check_refuses_what_is_too_far():
    check({"nll": 87.4}, {"nll": (87.0, 0.5), "minutes": 1})
    for wrong in (87.6, float("nan")):
        with pytest.raises(AssertionError):
            check({"nll": wrong}, {"nll": (87.0, 0.5), "minutes": 1})
