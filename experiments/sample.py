"""Draw from a trained model: python -m experiments.sample --workdir=DIR --num=64 [--seed=0]

It writes z from the prior, the mean of p(x|z) and x drawn from p(x|z) to an npz, CSV or parquet
file, as the name of --output ends, and a PNG file of the means beside it. x is what the model sees:
bits, or stored values over their maximum; what it sees standardized is written in the units of the
data, each kind of a table's columns by itself, or in a CSV or parquet file each column.
"""

from collections.abc import Callable, Iterable, Mapping
import math
from pathlib import Path
from typing import Any

from absl import flags
import jax
import numpy as np

from experiments.support import cli, console, files, run_folder
from experiments.support.assembly import Run
from experiments.support.loading import load_member
from experiments.support.subjects import make_images_of
from vae_jax import datasets, evaluation, figures, model_file
from vae_jax.fast import threefry

_MOST_DRAWN = 100  # a picture of more shows less


def draw_samples(
    run: Run,
    params: Any,
    num: int,
    seed: int,
    batch_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
    label: int | None = None,
) -> dict[str, np.ndarray]:
    """Return `num` draws of z, mean and x by name, of which the first do not depend on `num`.

    A conditional model is given `label`, or all labels in turn, or y of the test examples.
    """

    def draw(params_and_key, index, y):
        params, key = params_and_key  # a key that is an argument is not compiled in
        key_z, key_x = jax.random.split(jax.random.fold_in(key, index))
        y = y if run.is_conditional else None
        z = run.vae.prior(params, y).sample(key_z)
        p = run.vae.decode(params, z, y)
        drawn = {"z": z, "mean": p.mean, "x": p.sample(key_x)}
        return drawn if y is None else drawn | {"y": y}

    key, key_conditions = jax.random.split(threefry.key(seed))
    ys = conditions(run, num, label, key_conditions)
    batched = evaluation.over_examples(draw)
    drawn = evaluation.map_examples(batched, (params, key), ys, batch_size, progress)
    for name in ("mean", "x"):
        drawn[name] = datasets.unstandardize(run.dataset, drawn[name])
    return flat_names(drawn)


def conditions(run: Run, num: int, label: int | None, key: Any) -> Any:
    """Return `num` values of y: one label, or all in turn, or those of test examples.

    `key` draws their bits, where the model sees bits.

    Raises:
      ValueError: a label that the run does not have.
    """
    condition = run.dataset.condition if run.is_conditional else None
    if label is not None and not (isinstance(condition, int) and 0 <= label < condition):
        known = f"0 .. {condition - 1}" if isinstance(condition, int) else "none: y is no label"
        raise ValueError(f"--label={label} is not one of this run ({known})")
    if isinstance(condition, int):
        return np.full(num, label) if label is not None else np.arange(num) % condition
    if condition is None:
        return np.arange(num)  # not used
    test = datasets.to_model_examples(run.dataset, key, run.dataset.test)
    return np.resize(test.y, (num, *test.y.shape[1:]))


def flat_names(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Return arrays by name: the parts of z of two layers, and of x of several fields, apart."""
    flat = {}
    for name, value in drawn.items():
        parts = (
            value
            if isinstance(value, Mapping)
            else dict(zip(("lower", "upper"), value, strict=True))
            if isinstance(value, tuple)
            else {"": value}
        )
        flat |= {f"{name}_{part}".rstrip("_"): each for part, each in parts.items()}
    return flat


def in_columns(run: Run, output: str, samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return samples, of a table that is written to a CSV or parquet file its drawn columns, with
    categories by their names, in the place of one array for each kind of them."""
    outline = run.dataset
    if outline.columns is None or not output.endswith(files.TABLES):
        return dict(samples)
    kept = {name: each for name, each in samples.items() if name.split("_")[0] not in ("mean", "x")}
    columns = {}
    for name in ("mean", "x"):
        fields = {field: samples[f"{name}_{field}"] for field in outline.fields}
        frame = datasets.table_from_fields(outline, fields)
        prefix = "mean_" if name == "mean" else ""
        columns |= {f"{prefix}{column}": np.asarray(frame[column]) for column in frame}
    return kept | columns


def draw_picture(means: np.ndarray, title: str) -> Any:
    """Return a picture of the first means in a square-ish grid."""
    means = means[:_MOST_DRAWN]
    columns = math.ceil(math.sqrt(len(means)))
    rows = -(-len(means) // columns)
    padding = [(0, rows * columns - len(means)), *[(0, 0)] * (means.ndim - 1)]
    padded = np.pad(means, padding, constant_values=np.nan)
    return figures.image_grid(padded.reshape(rows, columns, *means.shape[1:]), title)


def sample_to_file(
    workdir: str,
    output: str,
    member: int,
    num: int,
    seed: int,
    label: int | None = None,
    given: Any = None,
    overwrite: bool = False,
) -> None:
    """Draw `num` samples of a trained member, write them and a picture beside them.

    `given` is the config that defines rows of the run's own.

    Raises:
      ValueError: a run, a member or a name that cannot be used.
      OSError: the output cannot be written.
    """
    picture = Path(output).with_suffix(".png")
    files.check_output(output, overwrite)
    model_file.check_output(picture, overwrite)
    is_conditional = run_folder.read_config(Path(workdir)).vae.conditional
    is_label = isinstance(run_folder.read_outline(Path(workdir)).condition, int)
    # Where y is an array, it is taken from the test examples.
    run, how_measured, params = load_member(workdir, member, is_conditional and not is_label, given)
    batch_size = min(how_measured.batch_size, num)
    track = console.track("samples", batch_size)
    with run_folder.output_file(picture) as image:
        samples = draw_samples(run, params, num, seed, batch_size, track, label)
        files.write_result(output, files.held_by(output, in_columns(run, output, samples)))
        means = {
            name.removeprefix("mean_"): each
            for name, each in samples.items()
            if name.startswith("mean")
        }
        images_of, bars = make_images_of(means, run.dataset.columns is not None)
        caption = f"{run.dataset.protocol}, {run.members[member].name}\n{bars}"
        title = f"decoded samples from the prior (--seed={seed})\n{caption}"
        draw_picture(images_of(means), title).savefig(image, format="png")
    console.say_written([output, picture], f"{num} samples", files.how_to_read(output))


def main() -> None:
    """Parse what the command line says and draw from that run."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        sample_to_file(
            given.workdir,
            given.output,
            given.member,
            given.num,
            given.seed,
            given.label,
            cli.given_config(),
            given.overwrite,
        )


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_integer("num", 64, "number of samples", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "of the samples", lower_bound=0, upper_bound=2**32 - 1)
    flags.DEFINE_integer("label", None, "class to draw; else all in turn", lower_bound=0)
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_string("output", "samples.npz", "npz, CSV or parquet; the picture goes beside it")
    flags.DEFINE_boolean("overwrite", False, "replace an output that is there")
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir",))
