"""Reproduce published figures: python -m experiments.reproduce [ROW ...] --data_dir=DIR

A row is a file of configs/papers/. Each row that is named, or each without a result, is trained and
measured in turn, the shortest first; results/ROW.json keeps what came out. The same command goes on
where it was stopped.
"""

import importlib
import json
from pathlib import Path
import subprocess
from types import ModuleType
from typing import Any

from absl import flags

from experiments import STOPPED
from experiments.support import cli, console, run_folder
from experiments.support.options import resolve
from experiments.train import train_and_evaluate
from vae_jax.lookup import look_up

ROOT = Path(__file__).parents[1]


def rows() -> dict[str, ModuleType]:
    """Return {name: module} of all rows, the shortest first."""
    names = [path.stem for path in (ROOT / "configs" / "papers").glob("[!_]*.py")]
    modules = {name: importlib.import_module(f"configs.papers.{name}") for name in names}
    return dict(sorted(modules.items(), key=lambda row: (row[1].EXPECTED["minutes"], row[0])))


def reproduce(name: str, row: ModuleType, data_dir: str, workdir: Path, results: Path) -> None:
    """Train and measure one row, or go on with it, and write its result."""
    config = row.get_config()
    config.data.data_dir = data_dir
    config, _ = resolve(config)
    train_and_evaluate(config, workdir, extend=False)
    content = result_of(row, workdir)
    results.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(results / f"{name}.json", content)
    console.say(describe(name, content))


def result_of(row: ModuleType, workdir: Path) -> dict[str, Any]:
    """Return what a finished run says of its row: values per seed, their mean and standard error.

    The standard error is over seeds; every number but `seconds` is of the test set.
    """
    summary = json.loads((workdir / "summary.json").read_text())
    run = run_folder.read_content(workdir)
    metric = summary[row.PUBLISHED["metric"]]
    of_seeds = metric["points"]["mean"]
    return {
        "published": row.PUBLISHED,
        "per_seed": dict(zip(summary["members"], metric["members"], strict=True)),
        "mean": of_seeds["mean"],
        "standard_error": of_seeds["standard_error"],
        "active_units": summary["active_units"]["points"]["mean"]["mean"],
        "protocol": summary["protocol"],
        "importance_samples": summary["importance_samples"],
        "steps": summary["step"],
        "seconds": summary["training_seconds"] + summary["evaluation_seconds"],
        "device": run["device"],
        "versions": run["versions"],
        "commit": commit(),
    }


def describe(name: str, result: dict[str, Any]) -> str:
    """Return one line: ours beside the published figure, in nats."""
    published = result["published"]
    return (
        f"{name}: {published['metric']} {result['mean']:.2f} +- {result['standard_error']:.2f} "
        f"(standard error over {len(result['per_seed'])} seeds), {published['source']}: "
        f"{published['value']}"
    )


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
        for name, row in modules.items():
            console.say(f"{name}: {row.__doc__.splitlines()[0]}")
            try:
                reproduce(name, row, flags.FLAGS.data_dir, Path(flags.FLAGS.runs) / name, results)
            except SystemExit as error:
                if error.code == STOPPED:
                    console.say(f"{name} is unfinished: experiments.reproduce goes on with it")
                raise


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", "", "folder of the prepared TFDS data; '': TFDS's own")
    flags.DEFINE_string("runs", "runs/papers", "folder of the runs, one for each row")
    flags.DEFINE_string("results", str(ROOT / "results"), "folder of the results")
    cli.define_machine_flags()
    cli.run_program(main, required=(), takes_arguments=True)
