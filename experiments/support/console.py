"""What a run says on the screen: header, progress, tables."""

from collections.abc import Mapping, Sequence
import contextlib
import io
import os
import sys
from typing import Any

import jax
import numpy as np
from rich.markup import escape
from rich.table import Table

from vae_jax.progress import (
    console,
    format_number,
    print_numbers,
    progress_bar,
    say,
    say_if_slow,
    track,
)

__all__ = ["console", "progress_bar", "say", "say_if_slow", "say_written", "track"]

# {name of a number: (its label, its format)} in the tables of several members and runs, which have
# a column for each.
COLUMNS = {
    "elbo": ("ELBO", ".2f"),
    "nll": ("-log p(x)", ".2f"),
    "kl": ("KL", ".2f"),
    "reconstruction": ("reconstruction", ".2f"),
    "active_units": ("active", ".1f"),
    "accuracy": ("accuracy", ".3f"),
}


class Output(io.TextIOWrapper):
    """A standard output that may break, by a closed pipe or a full disk: the program goes on.

    That is said once, on the standard error; what is printed afterwards is lost.
    """

    def write(self, text: str) -> int:
        with self._without_errors():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._without_errors():
            super().flush()

    @contextlib.contextmanager
    def _without_errors(self):
        try:
            yield
        except OSError as error:
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self.fileno())
            line = f"cannot print any more ({error.strerror}): the program goes on, its files are"
            with contextlib.suppress(OSError):
                print(f"{line} written as ever", file=sys.stderr)


def say_written(files: Sequence[Any], what: str = "", then: str = "") -> None:
    """Say in one line which files a program wrote, what they hold, and what to do next.

    Args:
      files: their paths.
      what: the numbers in short.
      then: a command, or a line of Python.
    """
    line = f"wrote {', '.join(map(str, files))}" + (f": {what}" if what else "")
    say(f"{line}; next: {then}" if then else line)


def progress_text(metrics: Mapping[str, np.ndarray]) -> str:
    """Return the terms of the bound, averaged over the members that are finite, and, where examples
    are streamed, how long a step waited for them."""
    alive = np.isfinite(metrics["elbo"])
    elbo, kl, reconstruction = (
        np.mean(metrics[name][alive]) for name in ("elbo", "kl", "reconstruction")
    )
    failed = f"  {np.sum(~alive)} members failed" if not alive.all() else ""
    waiting = ""
    if "data_wait_ms" in metrics:
        waiting = f"  waiting for data {metrics['data_wait_ms'][0]:.3g} ms per step"
    text = f"ELBO {elbo:.2f}  KL {kl:.2f}  reconstruction {reconstruction:.2f} nats"
    return f"{text}{waiting}{failed}"


def print_header(rows: Mapping[str, str]) -> None:
    """Print what is about to run, a line each."""
    width = max(map(len, rows))
    for name, value in rows.items():
        console.print(f"[bold]{name:<{width}}[/bold]  {escape(value)}")


def print_summary(title: str, numbers: Mapping[str, Any], members: Sequence[str]) -> None:
    """Print the final table.

    Of a single member, one number per row; of several, one member per row, then the mean and
    standard error over seeds of each point of the sweep.
    """
    if len(members) == 1:
        print_numbers(title, numbers)
        return
    table = Table(title=f"{title} (test set, nats)", title_justify="left")
    table.add_column("")
    columns = COLUMNS | {"gain": ("gain of z", ".2f")}
    columns = {name: column for name, column in columns.items() if name in numbers}
    for label, _ in columns.values():
        table.add_column(label, justify="right")
    for i, member in enumerate(members):
        row = [
            format_number(numbers[name]["members"][i], form) for name, (_, form) in columns.items()
        ]
        table.add_row(member, *row)
    table.add_section()
    for point in numbers["elbo"]["points"]:
        row = [_spread(numbers[name]["points"][point], f) for name, (_, f) in columns.items()]
        table.add_row(f"{point}, over seeds", *row)
    console.print(table)


def _spread(point: Mapping[str, Any], form: str) -> str:
    if point["standard_error"] is None:
        return format_number(point["mean"], form)
    digits = max(form, ".2f")  # of the error: two at least
    return f"{point['mean']:{form}} +- {point['standard_error']:{digits}}"


def device_line() -> str:
    """Name the devices that the run computes on."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
