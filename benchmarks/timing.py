"""Timing several ways of doing the same work, side by side in one process."""

from collections.abc import Callable, Mapping
import json
import math
import os
import statistics
import time
from typing import Any

Run = Callable[[int], None]
"""run(num_steps): do so many steps and wait until they are done."""


def interleave(
    runs: Mapping[str, Run], num_steps: int, rounds: int, pause: float = 0.2
) -> dict[str, float]:
    """Return the median milliseconds a step of each, which take turns in every round.

    The first turn, which compiles, is not counted. A turn begins with a pause, in which the threads
    of the last one stop to spin, and some steps that are not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            time.sleep(pause)
            run(math.ceil(num_steps / 4))
            start = time.perf_counter()
            run(num_steps)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) / num_steps * 1e3 for name, each in seconds.items()}


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
