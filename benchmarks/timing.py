"""Timing several ways of doing the same work, side by side in one process."""

from collections.abc import Callable, Mapping
import json
import math
import os
from pathlib import Path
import statistics
import time
from typing import Any

Run = Callable[[int], None]
"""run(num_steps): do so many steps and wait until they are done."""


REDUCED = 0
"""Rounds of the reduced form, which does one step of each and does not time."""


def interleave(
    runs: Mapping[str, Run], rounds: int, turn: float = 0.5, least_steps: int = 50
) -> dict[str, float]:
    """Return the median milliseconds a step of each, which take turns in every round.

    Each does as many steps in its turn as take `turn` seconds, and not fewer than `least_steps`,
    among which the cost of a call is divided. As many untimed ones come first, since a library is
    slower for a while after another's turn, and a pause, in which the other's threads stop to spin.
    With no rounds it is the time of one step each, compilation included.
    """
    first = {name: _seconds(run, 1) for name, run in runs.items()}
    if rounds == REDUCED:
        return {name: 1e3 * seconds for name, seconds in first.items()}
    steps = {
        name: max(least_steps, math.ceil(turn / _seconds(run, least_steps) * least_steps))
        for name, run in runs.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(0.2)
            run(steps[name])
            seconds[name].append(_seconds(run, steps[name]))
    return {name: statistics.median(each) / steps[name] * 1e3 for name, each in seconds.items()}


def _seconds(run, num_steps):
    start = time.perf_counter()
    run(num_steps)
    return time.perf_counter() - start


def peak_megabytes(pid: int | str) -> float:
    """Return the most memory that a process has held so far; "self" is this one."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = [line for line in status if line.startswith("VmHWM")]
    return int(peak.split()[1]) * 1024 / 1e6


def available(makers: Mapping[str, Callable[..., Run]], *arguments: Any) -> dict[str, Run]:
    """Make the runs whose packages are installed; say which are left out."""
    runs = {}
    for name, make in makers.items():
        try:
            runs[name] = make(*arguments)
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return runs


def report(title: str, milliseconds: Mapping[str, float], reference: str) -> dict[str, Any]:
    """Print what each took, and as a multiple of `reference`; return it."""
    print(f"\n{title} ({os.cpu_count()} cores)")
    for name, each in sorted(milliseconds.items(), key=lambda item: item[1]):
        print(f"  {name:<28} {each:9.3f} ms a step  {each / milliseconds[reference]:6.2f} x")
    return {"title": title, "milliseconds": dict(milliseconds), "reference": reference}


def write_json(path: str, results: Any) -> None:
    """Write all results to a file, if one is named."""
    if path:
        with open(path, "w") as file:
            json.dump(results, file, indent=2)
