"""Running the programs as a user does."""

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
