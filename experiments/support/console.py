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

from vae_jax.progress import console, progress_bar, say, say_if_slow, track

__all__ = ["console", "progress_bar", "say", "say_if_slow", "track"]

# {name of a number: (its label in the final table of one member, its format)}
_ROWS = {
    "elbo": ("test ELBO (nats)", ".2f"),
    "nll": ("-log p(x) (nats)", ".2f"),
    "nll_standard_error_over_examples": ("its standard error over examples", ".2f"),
    "bits_per_dim": ("bits per dimension", ".3f"),
    "kl": ("KL(q(z|x) || p(z)) (nats)", ".2f"),
    "reconstruction": ("reconstruction, E log p(x|z) (nats)", ".2f"),
    "active_units": ("active units", ".0f"),
    "active_units_upper": ("active units of the upper layer", ".0f"),
    "accuracy": ("accuracy of q(y|x)", ".3f"),
    "training_seconds": ("training (seconds)", ".1f"),
    "evaluation_seconds": ("evaluation (seconds)", ".1f"),
}
# The same for the tables of several members and runs, which have a column for each.
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
        table = Table(title=title, title_justify="left", show_header=False)
        for name, (label, form) in _ROWS.items():
            if name in numbers:
                table.add_row(label, _cell(numbers[name], form))
        console.print(table)
        return
    table = Table(title=f"{title} (test set, nats)", title_justify="left")
    table.add_column("")
    columns = {name: column for name, column in COLUMNS.items() if name in numbers}
    for label, _ in columns.values():
        table.add_column(label, justify="right")
    for i, member in enumerate(members):
        row = [_cell(numbers[name]["members"][i], form) for name, (_, form) in columns.items()]
        table.add_row(member, *row)
    table.add_section()
    for point in numbers["elbo"]["points"]:
        row = [_spread(numbers[name]["points"][point], f) for name, (_, f) in columns.items()]
        table.add_row(f"{point}, over seeds", *row)
    console.print(table)


def _cell(value: float | None, form: str) -> str:
    return "failed" if value is None else format(value, form)


def _spread(point: Mapping[str, Any], form: str) -> str:
    if point["standard_error"] is None:
        return _cell(point["mean"], form)
    digits = max(form, ".2f")  # of the error: two at least
    return f"{point['mean']:{form}} +- {point['standard_error']:{digits}}"


def device_line() -> str:
    """Name the devices that the run computes on."""
    devices = jax.devices()
    return f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})"
