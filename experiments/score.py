"""Say how likely each example is: python -m experiments.score --workdir=DIR --input=x.csv
--output=scores.csv

--workdir is the folder of a run, or a model file. The input is a CSV or parquet file with the
columns of the training data, or an npz with the examples under key x, in their units. The output,
a CSV, parquet or npz, has a row per example, the most surprising one first: its place in the input
(`row`), log p(x) in nats by --num_samples importance samples (`log_likelihood`) and its
`standard_error` over samples; and for each column what it adds, E[log p(column|z)] over p(z|x), in
which small numbers are surprising too (in an npz the array `contributions`).
"""

from collections.abc import Mapping
from typing import Any

from absl import flags
import numpy as np

from experiments.support import cli, console, files
from vae_jax import load_model

_SHOWN = 3  # columns of the most surprising example


def score_file(
    workdir: str, source: str, output: str, member: int, num_samples: int, overwrite: bool
) -> None:
    """Score the examples of one file and write another.

    Raises:
      ValueError: a run, a member, examples or an output that cannot be used.
      OSError: the output cannot be written.
    """
    files.check_output(output, overwrite)
    model = load_model(workdir, member)
    given = files.read_given(model.dataset, source)
    scores = model.score(given.x, num_samples, y=given.y)
    order = np.argsort(scores["log_likelihood"], kind="stable")
    columns = columns_of(scores)
    rows = order if given.index is None else np.asarray(given.index)[order]
    sorted_columns = {name: np.asarray(each)[order] for name, each in columns.items()}
    files.write_result(output, {"row": rows} | sorted_columns)
    console.say_written([output], describe(rows, scores, order), files.how_to_read(output))


def columns_of(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the output; what a field or a column adds under its name."""
    columns = {name: scores[name] for name in ("log_likelihood", "standard_error")}
    added = scores["contributions"]
    if not isinstance(added, Mapping):
        return columns | {"contributions": added}
    return columns | {f"log p({name}|z)": each for name, each in added.items()}


def describe(rows: np.ndarray, scores: Mapping[str, Any], order: np.ndarray) -> str:
    """Return one line: the mean, and the most surprising example with its worst columns."""
    logs, first = scores["log_likelihood"], order[0]
    line = f"{len(logs)} examples, log p(x) {np.mean(logs):.2f} nats in the mean; "
    line += f"the most surprising is row {rows[0]}, {logs[first]:.2f} nats"
    added = scores["contributions"]
    if isinstance(added, Mapping) and all(np.ndim(each) == 1 for each in added.values()) and added:
        # Against what the column adds in the median: columns have densities of many sizes.
        below = {name: each[first] - np.median(each) for name, each in added.items()}
        worst = sorted(below, key=below.get)[:_SHOWN]
        line += f", by its {', '.join(worst)}"
    return line


def main() -> None:
    """Parse what the command line says and score that file."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        score_file(
            *(given.workdir, given.input, given.output),
            *(given.member, given.num_samples, given.overwrite),
        )


if __name__ == "__main__":
    files.define_flags()
    flags.DEFINE_integer("num_samples", 100, "importance samples per example", lower_bound=1)
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir", "input", "output"))
