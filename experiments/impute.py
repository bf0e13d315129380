"""Fill in what is missing: python -m experiments.impute --workdir=DIR --input=x.csv --output=y.csv

--workdir is the folder of a run, or a model file. The input is a CSV or parquet file with the
columns of the training data and empty cells, or an npz with the examples under key x, NaN where a
value is missing, or under x and mask. The output, a CSV, parquet or npz, is the input with its
missing values replaced by their means given the observed ones, E[x_missing | x_observed], by
--num_samples importance samples. With --draws=10 it has ten draws of them instead: each row ten
times, with a column `draw`; in an npz a first axis over draws.
"""

from typing import Any

from absl import flags
import numpy as np

from experiments.support import cli, console, files
from vae_jax import load_model


def impute_file(
    workdir: str,
    source: str,
    output: str,
    member: int,
    num_samples: int,
    draws: int,
    overwrite: bool,
) -> None:
    """Fill in the missing values of one file and write another.

    Raises:
      ValueError: a run, a member, examples or an output that cannot be used.
      OSError: the output cannot be written.
    """
    files.check_output(output, overwrite)
    model = load_model(workdir, member)
    given = files.read_given(model.dataset, source)
    filled = model.impute(given.x, num_samples, draws=draws, y=given.y)
    if given.index is None:
        arrays = filled if isinstance(filled, dict) else {"x": filled}
        files.write_result(output, arrays)
    else:
        files.write_result(output, *rows_of(filled, given.index, draws))
    filled_in = f"{draws} draws of its missing values" if draws else "its missing values filled in"
    what = f"{source} with {filled_in}, by {num_samples} samples per example"
    console.say_written([output], what, files.how_to_read(output))


def rows_of(filled: Any, index: Any, draws: int) -> tuple[dict[str, Any], Any]:
    """Return the columns of the output and the index of its rows, those of a draw together."""
    if not draws:
        return columns_of(filled), index
    columns = [columns_of(each) for each in filled]
    joined = {name: np.concatenate([each[name] for each in columns]) for name in columns[0]}
    number = np.repeat(np.arange(draws), len(index))
    repeated = np.tile(np.asarray(index), draws)
    return {"row": repeated, "draw": number} | joined, None


def columns_of(filled: Any) -> dict[str, Any]:
    """Return the columns of a table, or of an array (examples, values)."""
    if isinstance(filled, np.ndarray):
        return {"x": filled}
    return {name: np.asarray(filled[name]) for name in filled}


def main() -> None:
    """Parse what the command line says and fill in that file."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        impute_file(
            *(given.workdir, given.input, given.output, given.member),
            *(given.num_samples, given.draws, given.overwrite),
        )


if __name__ == "__main__":
    files.define_flags()
    flags.DEFINE_integer("num_samples", 1000, "importance samples per example", lower_bound=1)
    flags.DEFINE_integer("draws", 0, "draws in the place of means", lower_bound=0)
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir", "input", "output"))
