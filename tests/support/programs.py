"""Running the programs as a user does, and training within the tests' own process."""

import ast
import importlib
from pathlib import Path
import subprocess
import sys

ROOT = Path(__file__).parents[2]


def run_program(program, *arguments, **options):
    """Run `python -m program` in the repository and return the finished process."""
    command = [sys.executable, "-m", program, *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, **options
    )


def train(workdir, *arguments, config="beta", **options):
    """Run the training program in a workdir."""
    command = ("experiments.train", f"--config=configs/{config}.py", f"--workdir={workdir}")
    return run_program(*command, *arguments, **options)


SMALL = (
    "--config.vae.hidden=(16,)",
    "--config.training.num_epochs=2",
    "--config.training.batch_size=100",
    "--config.optimizer.warmup_steps=5",
    "--config.evaluation.num_samples=3",
)
TRAINED = (
    *SMALL,
    "--config.num_seeds=2",
    "--config.training.num_epochs=3",
    "--config.training.log_every_steps=10",
    "--config.evaluation.num_samples=100",
)


# The programs are imported by what calls these: pytest's own start should not wait for jax.


def resolved(config):
    """Return what a config resolves to, whose every field counts as set by its file."""
    from experiments.support.options import resolve

    return resolve(config)[0]


def build(config):
    """Build the run of a config."""
    from experiments.support.assembly import build_run

    return build_run(resolved(config))


def train_here(config, workdir, extend=False):
    """Train, measure and draw what a config says, in this process."""
    from experiments.train import train_and_evaluate

    train_and_evaluate(resolved(config), workdir, extend)


def typed(name, *flags):
    """Return the config of this name with fields set by flags as a command line has them."""
    config = importlib.import_module(f"configs.{name}").get_config()
    for flag in flags:
        field, _, value = flag.removeprefix("--config.").partition("=")
        config.update_from_flattened_dict({field: ast.literal_eval(value)})
    return config


def with_fields(config, **fields):
    """Return the config with fields of the form block__name=value changed."""
    for field, value in fields.items():
        *block, name = field.split("__")
        (config[block[0]] if block else config)[name] = value
    return config
