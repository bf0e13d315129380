"""How a training step grows with its size, beside how its products do: for benchmarks.train_step.

`python -m benchmarks.growth` measures one step by itself: what a number of devices needs, which
jax knows from its start.
"""

from collections.abc import Mapping, Sequence
import itertools
import json
import os
import subprocess
import sys
from typing import Any

from absl import app, flags
import numpy as np

from benchmarks import timing
from benchmarks.ours import Step

PANELS: dict[str, Sequence[Step]] = {
    "batch": [Step(batch=n) for n in (16, 32, 64, 128, 256, 512, 1024)],
    "hidden width": [Step(batch=64, hidden=n) for n in (64, 128, 256, 512, 1024)],
    "samples of z": [Step(samples=n) for n in (1, 2, 4, 8, 16, 32, 64)],
    "models": [Step(models=n) for n in (1, 2, 4, 8, 16, 32, 64)],
    "devices for a batch of 512": [Step(batch=512, devices=n) for n in (1, 2, 4, 8)],
    "devices for 8 models": [Step(models=8, devices=n) for n in (1, 2, 4, 8)],
}
_TITLE = """\
Time of a training step against its size (blue), and the work of its matrix products (dashed)
time ~ size^exponent: 1 where twice the size takes twice the time, 0 where size does not matter
Work is scaled to the time of the largest step. Any number of devices share the same work,
with exponent 0: it is scaled to the time that one device takes."""
# Within a process and across processes, with few programs to compile.
REDUCED = {
    "models": [Step(hidden=8, models=n) for n in (1, 2)],
    "devices for 2 models": [Step(hidden=8, models=2, devices=n) for n in (1, 2)],
}


def grown(steps: Sequence[Step]) -> list[int]:
    """Return the one field of the steps that varies."""
    return next(list(field) for field in zip(*steps, strict=True) if len(set(field)) > 1)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of log value against log size, by least squares over the upper half.

    Small steps are mostly what a step costs at any size, so that they would flatter the slope.
    """
    upper = slice(len(sizes) // 2 - (len(sizes) == 2), None)
    return float(np.polyfit(np.log(sizes[upper]), np.log(values[upper]), 1)[0])


def measure_panel(steps: Sequence[Step], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each step, by the size that varies.

    They take turns in this process, on the devices that the training program would use. Where the
    number of devices is what varies, each has a process of its own.
    """
    sizes = dict(zip(map(str, grown(steps)), steps, strict=True))
    if len({step.devices for step in steps}) > 1:
        return {n: _measure_elsewhere(step, rounds) for n, step in sizes.items()}
    return timing.interleave({n: step.make_run() for n, step in sizes.items()}, rounds)


def _measure_elsewhere(step, rounds):
    devices = f"--xla_force_host_platform_device_count={step.devices}"
    environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {devices}"}
    options = {"step": json.dumps(step), "rounds": rounds}
    command = [sys.executable, "-m", "benchmarks.growth"]
    command += [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def measure_growth(rounds: int, reduced: bool, figure: str = "") -> list[dict[str, Any]]:
    """Measure and report every panel; draw them in the file `figure`, if one is named."""
    results = []
    for name, steps in (REDUCED if reduced else PANELS).items():
        milliseconds = measure_panel(steps, rounds)
        sizes, times = grown(steps), list(milliseconds.values())
        result = timing.report(f"growth with {name}", milliseconds, str(sizes[0]))
        work = [step.work for step in steps]
        result |= {"sizes": sizes, "work": work}
        result |= {"exponent": exponent(sizes, times), "work_exponent": exponent(sizes, work)}
        own, of_products = result["exponent"], result["work_exponent"]
        print(f"  exponent {own:.2f}, that of its products {of_products:.2f}")
        results.append(result)
    if figure:
        draw(results).savefig(figure)
    return results


def draw(results: Sequence[Mapping[str, Any]]) -> Any:
    """Draw each panel: milliseconds against size, and a line that grows as the products do.

    The line goes through the largest step, which is work most of all; where the work is the same
    at each size, through the first, which one device does alone.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    rows = -(-len(results) // 3)
    figure = Figure(figsize=(10.0, 3.2 * rows + 0.8), dpi=120, layout="constrained")
    figure.suptitle(_TITLE, x=0.01, ha="left", fontsize=9)
    panels = itertools.chain(*figure.subplots(rows, 3, squeeze=False))
    for axes, result in itertools.zip_longest(panels, results):
        if result is None:
            axes.set_axis_off()
            continue
        sizes, times = result["sizes"], list(result["milliseconds"].values())
        through = 0 if result["work"][0] == result["work"][-1] else -1
        products = np.array(result["work"]) * times[through] / result["work"][through]
        label = f"training step, exponent {result['exponent']:.2f}"
        axes.loglog(sizes, times, "o-", color="C0", linewidth=1.2, markersize=4, label=label)
        same = "" if through else " (the same work)"
        label = f"its products{same}, exponent {result['work_exponent']:.2f}"
        axes.loglog(sizes, products, "--", color="C1", linewidth=1.2, label=label)
        axes.set_xticks(sizes, map(str, sizes))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        low, high = min(*times, *products), max(*times, *products)
        axes.set_ylim(min(low / 1.3, 0.1 * high), 2 * high)
        axes.set(xlabel=result["title"].removeprefix("growth with "), ylabel="milliseconds")
        axes.legend(fontsize=7, loc="lower right")
        axes.grid(alpha=0.3)
    return figure


def main(argv: list[str]) -> None:
    """Print the median milliseconds of one step."""
    given = flags.FLAGS
    runs = {"step": Step(*json.loads(given.step)).make_run()}
    print(timing.interleave(runs, given.rounds)["step"])


if __name__ == "__main__":
    flags.DEFINE_string("step", json.dumps(Step()), "the fields of Step, as a JSON list")
    flags.DEFINE_integer("rounds", 7, "turns", lower_bound=timing.REDUCED)
    app.run(main)
