"""From a command to its first training step: python -m benchmarks.start

The training program on an npz of MNIST's size, with a cold and then a warm cache of compiled
programs, beside the peers that compile; and the most memory that each held. --json=FILE keeps the
numbers; --reduced only shows that all runs.
"""

from collections.abc import Sequence
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

from absl import app, flags
import numpy as np

from benchmarks import timing
from benchmarks.images import made_up_images

PEERS = ("numpyro SVI, scanned", "flax example, jitted step", "pythae's trainer", "PyTorch, eager")


def start_of_ours(folder: Path, images: Path, cache: Path) -> list[str]:
    """Return a command that ends after one step of the training program."""
    fields = {
        "data.name": "npz",
        "data.path": images,
        "data.binarization": "dynamic",
        "vae.latent_dim": 50,
        "training.num_epochs": 1,
        "optimizer.warmup_steps": 0,
        "training.batch_size": 128,
        "training.log_every_steps": 1,
        "compilation_cache": cache,
    }
    flags_of = [f"--config.{name}={value}" for name, value in fields.items()]
    program = [sys.executable, "-m", "experiments.train", "--config=configs/default.py"]
    return [*program, f"--workdir={folder}", *flags_of]


def seconds_to_first_step(command: Sequence[str], metrics: Path) -> tuple[float, float]:
    """Return the seconds until `metrics` has a line, and the megabytes held by then."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (metrics.exists() and metrics.stat().st_size):
        if process.poll() is not None:
            raise RuntimeError(f"{command} ended with {process.returncode} before its first step")
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    megabytes = timing.peak_megabytes(process.pid)
    process.kill()
    process.wait()
    return seconds, megabytes


def seconds_of_peer(name: str) -> float:
    """Return the seconds of a process that makes one step of a peer."""
    program = f"from benchmarks.peers import PEERS; PEERS[{name!r}](128, 200)(1)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode().strip().splitlines()[-1]
        print(f"{name} is left out: {reason}")
        return float("nan")
    return time.perf_counter() - start


def main(argv: list[str]) -> None:
    """Start each once, in order."""
    results, count = {}, 1000 if flags.FLAGS.reduced else 60_000
    with tempfile.TemporaryDirectory() as name:
        folder, images = Path(name), Path(name) / "images.npz"
        np.savez(images, x=made_up_images((28, 28, 1), count))
        for cache in ("cold", "warm"):
            command = start_of_ours(folder / cache, images, folder / "cache")
            seconds, megabytes = seconds_to_first_step(command, folder / cache / "metrics.jsonl")
            results[f"vae_jax, {cache} cache"] = seconds
            print(f"vae_jax, {cache} cache: {seconds:.1f} s, {megabytes:,.0f} MB")
        for peer in () if flags.FLAGS.reduced else PEERS:
            results[peer] = seconds_of_peer(peer)
            print(f"{peer}: {results[peer]:.1f} s")
    timing.write_json(flags.FLAGS.json, results)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    flags.DEFINE_string("json", "", "file for the numbers")
    flags.DEFINE_boolean("reduced", False, "fewer images and no peers: whether it runs")
    app.run(main)
