"""The most memory that a step of many samples needs: python -m benchmarks.memory

A step of the importance-weighted bound of K = 5,000 samples on 784-200-200-50 at batch 20, with all
samples at once and in chunks of 50, whose activations are computed once more for the gradient. Each
has a process of its own, whose peak includes the libraries and the data. --json=FILE keeps the
numbers; --reduced only shows that all runs.
"""

import json
import subprocess
import sys
import time

from absl import app, flags

from benchmarks import timing

_ESTIMATORS = ("pathwise", "doubly_reparameterized", "vimco")


def measure_step(estimator: str, chunk_size: int, size: dict[str, int]) -> dict[str, float]:
    """Return the peak of this process in megabytes after three steps, and seconds per step."""
    from benchmarks import ours

    options = {"num_samples": size["num_samples"], "chunk_size": chunk_size, "estimator": estimator}
    run = ours.make_run(
        size["batch_size"],
        (size["hidden"],) * 2,
        objective="iwae",
        objective_options=options,
    )
    run(1)
    start = time.perf_counter()
    run(2)
    seconds = (time.perf_counter() - start) / 2
    return {"megabytes": timing.peak_megabytes("self"), "seconds": seconds}


def measure_elsewhere(estimator: str, chunk_size: int, reduced: bool) -> dict[str, float]:
    """Return what `measure_step` returns in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", f"--step={estimator},{chunk_size}"]
    command += ["--reduced"] if reduced else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main(argv: list[str]) -> None:
    """Measure each, or print the numbers of the one step that --step names."""
    given = flags.FLAGS
    size = {"num_samples": 5000, "batch_size": 20, "hidden": 200}
    if given.reduced:
        size = {"num_samples": 4, "batch_size": 2, "hidden": 8}
    if given.step:
        estimator, chunk_size = given.step.split(",")
        print(json.dumps(measure_step(estimator, int(chunk_size), size)))
        return
    results = []
    for estimator in _ESTIMATORS[: 1 if given.reduced else None]:
        for chunk_size in (2,) if given.reduced else (50, 0):
            measured = measure_elsewhere(estimator, chunk_size, given.reduced)
            name = f"{estimator}, {f'chunks of {chunk_size}' if chunk_size else 'all at once'}"
            gigabytes, seconds = measured["megabytes"] / 1000, measured["seconds"]
            print(f"{name}: {gigabytes:.2f} GB, {seconds:.1f} s a step", flush=True)
            results.append({"title": name, **measured, "milliseconds": {name: 1e3 * seconds}})
    timing.write_json(given.json, results)


if __name__ == "__main__":
    flags.DEFINE_string("step", "", "estimator,chunk_size: measure this one in this process")
    flags.DEFINE_string("json", "", "file for the numbers")
    flags.DEFINE_boolean("reduced", False, "a small model, one process: whether it runs")
    app.run(main)
