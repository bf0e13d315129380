"""List the runs of a folder: python -m experiments.runs [FOLDER ...] (default: runs)

A row per run, the newest last: its state, how far it came, the last ELBO of the validation
examples, and the fields of its config that most other runs have otherwise. A run is `running` while
a process has its folder, `finished` once it was measured, `failed` where no member had finite
numbers left, and otherwise `stopped`: the same command with --workdir goes on.
"""

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.markup import escape
from rich.table import Table

from experiments.compare import differing
from experiments.support import cli, console, run_folder


class Row(NamedTuple):
    """What there is to say of a run."""

    run: str
    state: str
    step: int
    elbo: str
    """In nats per example; of several members that of the worst and of the best."""
    config: dict[str, Any]
    """{"block.field": value}; {} where it cannot be read."""


def read_row(workdir: Path) -> Row:
    """Return the row of the run in `workdir`."""
    try:
        config = run_folder.flatten(run_folder.read_content(workdir)["config"])
    except ValueError:
        return Row(str(workdir), "unreadable", 0, "-", {})  # or of another version
    curves = run_folder.read_curves(workdir / "metrics.jsonl")
    last = {split: curve["elbo"][-1] for split, curve in curves.items()}
    steps = [int(curve["step"][-1].max()) for curve in curves.values()]
    elbos = last.get("validation", last.get("train", np.array([])))
    return Row(
        str(workdir),
        state_of(workdir, last.get("train")),
        max(steps, default=0),
        describe_elbos(elbos),
        config,
    )


def state_of(workdir: Path, elbos: np.ndarray | None) -> str:
    """Return running, finished, failed or stopped.

    Args:
      workdir: of the run.
      elbos: the last ones of training, one per member; None: there are none.
    """
    if run_folder.is_locked(workdir):
        return "running"
    if elbos is not None and not np.isfinite(elbos).any():
        return "failed"
    return "finished" if (workdir / "summary.json").exists() else "stopped"


def describe_elbos(elbos: np.ndarray) -> str:
    """Return the ELBO of one member, or the worst and the best of several."""
    finite = elbos[np.isfinite(elbos)]
    if not len(finite):
        return "-"
    return " .. ".join(f"{each:.2f}" for each in sorted({finite.min(), finite.max()}))


def differences(rows: Sequence[Row]) -> list[str]:
    """Return for each row the fields of its config that most other runs have otherwise."""
    fields = ["sweep", *differing([{"config": row.config} for row in rows if row.config])]
    usual = {
        name: collections.Counter(
            repr(row.config[name]) for row in rows if name in row.config
        ).most_common(1)
        for name in fields
    }
    return [
        ", ".join(
            f"{name}={row.config[name]}"
            for name in fields
            if name in row.config and repr(row.config[name]) != usual[name][0][0]
        )
        for row in rows
    ]


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(title="runs; ELBO of validation, nats", title_justify="left")
    for name, options in {
        "run": {"overflow": "fold"},
        "state": {},
        "step": {"justify": "right"},
        "ELBO": {"justify": "right"},
        "differs from most in": {"overflow": "fold"},
    }.items():
        table.add_column(name, **options)
    for row, told in zip(rows, differences(rows), strict=True):
        table.add_row(escape(row.run), row.state, f"{row.step:,}", row.elbo, escape(told))
    console.console.print(table)


def next_step(rows: Sequence[Row]) -> str:
    """Return the command that the runs listed call for: to go on, to compare or to measure."""
    stopped = [row.run for row in rows if row.state == "stopped"]
    finished = [row.run for row in rows if row.state == "finished"]
    if stopped:
        return f"the same command with --workdir={stopped[-1]} goes on"
    if len(finished) > 1:
        return f"python -m experiments.compare {' '.join(finished[-2:])}"
    return f"python -m experiments.evaluate --workdir={rows[-1].run} --report=latents"


def main(*folders: str) -> None:
    """Parse what the command line says and list those runs."""
    with cli.user_errors():
        places = [Path(folder) for folder in folders or ("runs",)]
        for place in places:
            if not place.is_dir():
                raise ValueError(f"{place} is no folder: name one that holds the folders of runs")
        found = [file for place in places for file in place.glob("*/config.json")]
        found.sort(key=lambda file: file.stat().st_mtime)
        if not found:
            raise ValueError(f"{', '.join(map(str, places))}: there is no run in it")
        rows = [read_row(file.parent) for file in found]
        show(rows)
        console.say(f"next: {next_step(rows)}")


if __name__ == "__main__":
    cli.run_program(main, required=(), takes_arguments=True)
