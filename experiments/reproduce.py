"""Reproduce published figures: python -m experiments.reproduce [ROW ...] --data_dir=DIR

A row is a file of configs/papers/. Each row that is named, or each without a result, is trained and
measured in turn, the shortest first; results/ROW.json keeps what came out. The same command goes on
where it was stopped.
"""

import importlib
import json
import math
from pathlib import Path
import subprocess
from types import ModuleType
from typing import Any

from absl import flags
import numpy as np

from experiments import STOPPED
from experiments.support import cli, console, run_folder
from experiments.support.options import resolve
from experiments.train import train_and_evaluate
from vae_jax.datasets import DATASETS
from vae_jax.lookup import look_up, options_of
from vae_jax.model_file import versions

ROOT = Path(__file__).parents[1]


def rows() -> dict[str, ModuleType]:
    """Return {name: module} of all rows, the shortest first."""
    names = [path.stem for path in (ROOT / "configs" / "papers").glob("[!_]*.py")]
    modules = {name: importlib.import_module(f"configs.papers.{name}") for name in names}
    return dict(sorted(modules.items(), key=lambda row: (row[1].EXPECTED["minutes"], row[0])))


def reproduce(name: str, row: ModuleType, data_dir: str, workdir: Path, results: Path) -> None:
    """Train and measure one row, or go on with it, and write its result."""
    if hasattr(row, "get_config"):
        config = row.get_config()
        if "data_dir" in options_of(DATASETS[config.data.name]):
            config.data.data_dir = data_dir
        config, _ = resolve(config)
        train_and_evaluate(config, workdir, extend=False)
    content = result_of(row, workdir, data_dir)
    results.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(results / f"{name}.json", content)
    console.say(describe(name, row, content))


def result_of(row: ModuleType, workdir: Path, data_dir: str) -> dict[str, Any]:
    """Return what came out of a row: values per seed, their mean and standard error.

    The value is what `row.measure` returns of the run, or else the metric of the test set that
    `row.PUBLISHED` names. The standard error is over seeds; null of a single one.
    """
    about = of_run(workdir) if hasattr(row, "get_config") else {"versions": versions()}
    if hasattr(row, "measure"):
        per_seed = row.measure(workdir, data_dir)
    else:
        summary = json.loads((workdir / "summary.json").read_text())
        values = summary[row.PUBLISHED["metric"]]["members"]
        per_seed = dict(zip(summary["members"], values, strict=True))
    values = list(per_seed.values())
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return {
        "published": row.PUBLISHED,
        "per_seed": per_seed,
        "mean": float(np.mean(values)),
        "standard_error": error,
        **about,
        "commit": commit(),
    }


def of_run(workdir: Path) -> dict[str, Any]:
    """Return how a finished run was trained and measured.

    `seconds` is of its members together; None where those of a resumed run are unknown.
    """
    summary = json.loads((workdir / "summary.json").read_text())
    content, trained = run_folder.read_content(workdir), summary.get("training_seconds")
    return {
        "active_units": summary["active_units"]["points"]["mean"]["mean"],
        "protocol": summary["protocol"],
        "importance_samples": summary["importance_samples"],
        "steps": summary["step"],
        "seconds": trained and trained + summary["evaluation_seconds"],
        "device": content["device"],
        "versions": content["versions"],
    }


def describe(name: str, row: ModuleType, result: dict[str, Any]) -> str:
    """Return one line: ours beside the published figure, and the verdict."""
    published, count = result["published"], len(result["per_seed"])
    number = number_of(result)
    number += f" (standard error over {count} seeds)" if count > 1 else ""
    line = f"{name}: {published['metric']} {number}, {published['source']}: {published['value']}"
    verdict = verdict_of(row, result)
    return f"{line}; {verdict}" if verdict else line


def verdict_of(row: ModuleType, result: dict[str, Any]) -> str:
    """Return "matched", "beaten", "not resolved" or "not judged"; "" for what is not in nats.

    Matched: within .25 nats, or .15 for K >= 5. Beaten: better by more than twice the standard
    error of the difference, under the same protocol. A published run counts with a standard
    deviation of .2 nats, or .1 for K >= 5. What could not be verified is not judged.
    """
    published = row.PUBLISHED
    if published["metric"] not in ("nll", "elbo"):
        return ""
    if not published["is_verified"]:
        return "not judged"
    match, deviation = limits_of(row)
    gain = gain_of(row, result)
    if published["is_same_protocol"] and gain > 2 * math.hypot(result["standard_error"], deviation):
        return "beaten"
    return "matched" if abs(gain) <= match else "not resolved"


def limits_of(row: ModuleType) -> tuple[float, float]:
    """Return within how many nats a figure is matched, and the published run's standard deviation.

    The latter is over seeds, as several papers have it for these models.
    """
    num_samples = row.get_config().objective.num_samples or 1
    return (0.25, 0.2) if num_samples < 5 else (0.15, 0.1)


def gain_of(row: ModuleType, result: dict[str, Any]) -> float:
    """Return by how many nats our mean is better than the published figure."""
    gain = result["mean"] - row.PUBLISHED["value"]
    return -gain if row.PUBLISHED["metric"] == "nll" else gain


def number_of(result: dict[str, Any]) -> str:
    """Return the mean and its standard error, with two decimals or as many as the latter needs."""
    mean, error = result["mean"], result["standard_error"]
    if not error:
        return f"{mean:.5g}"
    decimals = max(2, -math.floor(math.log10(error)))
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}"


def commit() -> str:
    """Return the commit of this folder, with "+" if files differ from it, or "unknown"."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def main(*names: str) -> None:
    """Parse what the command line says and reproduce those rows."""
    with cli.user_errors():
        cli.use_machine_flags()
        known, results = rows(), Path(flags.FLAGS.results)
        chosen = names or [name for name in known if not (results / f"{name}.json").exists()]
        modules = {name: look_up(known, name, "row") for name in chosen}
        if not modules:
            console.say(f"every row has a result in {results}; name a row to make it anew")
        left_out = []
        for name, row in modules.items():
            console.say(f"{name}: {row.__doc__.splitlines()[0]}")
            try:
                reproduce(name, row, flags.FLAGS.data_dir, Path(flags.FLAGS.runs) / name, results)
            except SystemExit as error:
                if error.code == STOPPED:
                    console.say(f"{name} is unfinished: experiments.reproduce goes on with it")
                raise
            except ValueError as error:
                if names:
                    raise
                console.say(f"{name} is left out: {error}")
                left_out.append(name)
        if left_out:
            raise ValueError(f"without a result: {', '.join(left_out)} (reasons above)")


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", "", "folder of the prepared TFDS data; '': TFDS's own")
    flags.DEFINE_string("runs", "runs/papers", "folder of the runs, one for each row")
    flags.DEFINE_string("results", str(ROOT / "results"), "folder of the results")
    cli.define_machine_flags()
    cli.run_program(main, required=(), takes_arguments=True)
