"""From a command to its result, as a user waits for it: python -m benchmarks.end_to_end

Sections (--only=training --only=sweep): `training`, 20 epochs of 784-200-200-50 on MNIST at batch
128, from the start of a process to the ELBO of the test images, beside programs that follow the
examples of other libraries (whole_runs.py); `sweep`, four values of beta with four seeds each for
10 epochs, by one command beside a PyTorch process for each model. Seconds, the most memory of the
processes, and the test ELBO that was reached. --data_dir=DIR is the folder of tensorflow-datasets;
--names="vae_jax, cold cache" measures this one only, --betas=1 a part of the sweep; --json=FILE
keeps the numbers; --reduced only shows that all runs, on made-up images.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
import contextlib
import json
import os
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

from absl import app, flags
import numpy as np

from benchmarks import timing
from benchmarks.images import made_up_images
from benchmarks.whole_runs import PROGRAMS


class Result(NamedTuple):
    """What a command, or several of them, took and reached."""

    seconds: float
    megabytes: float
    """Most memory of the process; of several at a time, of as many of the largest."""
    elbos: dict[str, float]
    """Nats per test example; of each beta the mean over its seeds."""


class Work(NamedTuple):
    """What is trained, and in which folder."""

    folder: Path
    """Holds images.npz, with `train` and `test`, which the peers read."""
    data: dict[str, Any]
    """Fields of config.data, which the training program reads."""
    betas: list[str]
    seeds: int
    epochs: int
    """Of a single training; a sweep has half of them."""
    batch_size: int = 128
    hidden: int = 200

    @property
    def of_sweep(self) -> "Work":
        """The same with the epochs of a model of the sweep."""
        return self._replace(epochs=self.epochs // 2)


def prepare(folder: Path, data_dir: str, betas: list[str], reduced: bool) -> Work:
    """Write the images of our loader to a file, as users of other libraries have them."""
    if reduced:
        images = made_up_images((28, 28, 1), 1000)
        np.savez(folder / "images.npz", train=images[:100], test=images[100:200])
        np.savez(folder / "ours.npz", x=images)
        own = {"name": "npz", "path": folder / "ours.npz", "binarization": "dynamic"}
        return Work(folder, own, betas[:1], seeds=2, epochs=16, batch_size=20, hidden=8)
    from vae_jax import datasets

    mnist = datasets.load_mnist(data_dir=data_dir)
    np.savez(folder / "images.npz", train=mnist.train.x, test=mnist.test.x)
    return Work(folder, {"name": "mnist", "data_dir": data_dir}, betas, seeds=4, epochs=20)


def run_command(command: Sequence[str], **variables: str) -> tuple[float, float]:
    """Run a command to its end; return its seconds and the most megabytes that it held.

    Args:
      command: the program and its arguments.
      **variables: of its environment, beside those of this process.

    Raises:
      RuntimeError: it failed; with the last line that it printed.
    """
    with tempfile.TemporaryFile("w+") as output:
        streams, start = {"stdout": output, "stderr": output}, time.perf_counter()
        process, peak = subprocess.Popen(command, env=os.environ | variables, **streams), 0.0
        while process.poll() is None:
            with contextlib.suppress(ValueError):  # it has just ended
                peak = max(peak, timing.peak_megabytes(process.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - start
        if process.returncode:
            output.seek(0)
            raise RuntimeError((output.read().strip() or "no output").splitlines()[-1])
    return seconds, peak


def run_ours(work: Work, workdir: str, **options: Any) -> Result:
    """Run the training program, with pictures and checkpoints, to its summary."""
    fields = {f"data.{name}": value for name, value in work.data.items()} | {
        "vae.hidden": f"({work.hidden},{work.hidden})",
        "training.batch_size": work.batch_size,
        "training.num_epochs": work.epochs,
        "evaluation.num_samples": 1,
        "compilation_cache": work.folder / "compiled",
    }
    command = [sys.executable, "-m", "experiments.train", "--config=configs/elbo.py"]
    command += [f"--config.{name}={value}" for name, value in (fields | options).items()]
    measured = run_command([*command, f"--workdir={work.folder / workdir}"])
    elbo = json.loads((work.folder / workdir / "summary.json").read_text())["elbo"]
    points = elbo["points"] if isinstance(elbo, dict) else {"": {"mean": elbo}}
    return Result(*measured, {name: point["mean"] for name, point in points.items()})


def run_peer(name: str, work: Work, beta: str = "1", seed: int = 0, **variables: str) -> Result:
    """Run the training of a peer in a process of its own."""
    output = work.folder / f"{beta}-{seed}.json"
    given = {"name": name, "images": work.folder / "images.npz", "output": output}
    given |= {"epochs": work.epochs, "batch_size": work.batch_size, "hidden": work.hidden}
    given |= {"beta": beta, "seed": seed}
    command = [sys.executable, "-m", "benchmarks.whole_runs"]
    command += [f"--{flag}={value}" for flag, value in given.items()]
    measured = run_command(command, **variables)
    return Result(*measured, {"": json.loads(output.read_text())["elbo"]})


def trainings(work: Work) -> dict[str, Callable[[], Result]]:
    """Return a whole training by each; the cache of the first is warm for the second."""
    adam = {"learning_rate": 1e-3, "schedule": "constant", "warmup_steps": 0}
    adam = {f"optimizer.{name}": value for name, value in adam.items()}
    runs = {
        "vae_jax, cold cache": lambda: run_ours(work, "cold"),
        "vae_jax, warm cache": lambda: run_ours(work, "warm"),
        "vae_jax, Adam of the peers": lambda: run_ours(work, "adam", **adam),
    }
    return runs | {name: lambda name=name: run_peer(name, work) for name in PROGRAMS}


def sweeps(work: Work) -> dict[str, Callable[[], Result]]:
    """Return the whole sweep by each."""
    work = work.of_sweep
    sweep = {"num_seeds": work.seeds, "sweep": f"objective.beta={','.join(work.betas)}"}
    return {
        "vae_jax, cold cache": lambda: run_ours(work, "sweep-cold", **sweep),
        "vae_jax, warm cache": lambda: run_ours(work, "sweep-warm", **sweep),
        "PyTorch, in turn": lambda: sweep_pytorch(work, 1),
        "PyTorch, two at a time": lambda: sweep_pytorch(work, 2),
        "PyTorch, two of one thread": lambda: sweep_pytorch(work, 2, OMP_NUM_THREADS="1"),
    }


def sweep_pytorch(work: Work, at_once: int, **variables: str) -> Result:
    """Train each model of the sweep in a process of its own, so many at a time."""
    start = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        jobs = {
            beta: [
                pool.submit(run_peer, "PyTorch, DataLoader", work, beta, seed, **variables)
                for seed in range(work.seeds)
            ]
            for beta in work.betas
        }
        results = {beta: [job.result() for job in each] for beta, each in jobs.items()}
    seconds = time.perf_counter() - start
    megabytes = at_once * max(run.megabytes for runs in results.values() for run in runs)
    means = {
        f"beta={beta}": statistics.mean(run.elbos[""] for run in runs)
        for beta, runs in results.items()
    }
    return Result(seconds, megabytes, means)


def compare(title: str, runs: Mapping[str, Callable[[], Result]]) -> dict[str, Any]:
    """Run each and print a line of it; one whose packages are missing is left out with a line."""
    print(f"\n{title} ({os.cpu_count()} cores)", flush=True)
    results = {}
    for name, run in runs.items():
        try:
            results[name] = result = run()
        except RuntimeError as error:
            if "No module named" not in str(error):
                raise
            print(f"  {name} is left out: {error}")
            continue
        reached = ", ".join(f"{point} {elbo:.2f}".strip() for point, elbo in result.elbos.items())
        print(
            f"  {name:<26} {result.seconds:7.1f} s {result.megabytes / 1000:6.2f} GB  "
            f"test ELBO {reached}",
            flush=True,
        )
    return {
        "title": title,
        "milliseconds": {name: 1e3 * result.seconds for name, result in results.items()},
        "megabytes": {name: result.megabytes for name, result in results.items()},
        "elbo": {name: result.elbos for name, result in results.items()},
    }


SECTIONS = {"training": trainings, "sweep": sweeps}


def main(argv: list[str]) -> None:
    """Run the sections that --only names, or all."""
    given, results = flags.FLAGS, []
    with tempfile.TemporaryDirectory() as folder:
        work = prepare(Path(folder), given.data_dir, given.betas, given.reduced)
        for section in given.only or SECTIONS:
            runs = SECTIONS[section](work)
            chosen = {name: runs[name] for name in given.names or runs if name in runs}
            results.append(compare(section, chosen))
    timing.write_json(given.json, results)


if __name__ == "__main__":
    flags.DEFINE_multi_enum("only", [], list(SECTIONS), "a section to run; default: all")
    flags.DEFINE_multi_string("names", [], "what to measure, by the names of the table")
    flags.DEFINE_list("betas", ["0.5", "1", "2", "4"], "weights of the KL in the sweep")
    flags.DEFINE_string("data_dir", "", "folder of tensorflow-datasets with MNIST")
    flags.DEFINE_string("json", "", "file for the numbers")
    flags.DEFINE_boolean("reduced", False, "small models of made-up images: whether it runs")
    app.run(main)
