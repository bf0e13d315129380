"""Draw from a trained model: python -m experiments.sample --workdir=DIR --num=64 [--seed=0]

It writes an npz with z from the prior, the mean of p(x|z) and x drawn from p(x|z), and a PNG file
of the means beside it. x is what the model sees: bits, or stored values over their maximum.
"""

from collections.abc import Callable, Iterable
import math
from pathlib import Path
from typing import Any

from absl import flags
import jax
import numpy as np

from experiments import cli, records, reporting
from experiments.evaluate import load_member
from experiments.runs import Run
from vae_jax import evaluation, figures, threefry

_MOST_DRAWN = 100  # a picture of more shows less


def draw_samples(
    run: Run,
    params: Any,
    num: int,
    seed: int,
    batch_size: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, np.ndarray]:
    """Return `num` draws of z, mean and x by name, of which the first do not depend on `num`."""

    def draw(params_and_key, index, _):
        params, key = params_and_key  # a key that is an argument is not compiled in
        key_z, key_x = jax.random.split(jax.random.fold_in(key, index))
        z = run.vae.prior(params).sample(key_z)
        p = run.vae.decode(params, z)
        return {"z": z, "mean": p.mean, "x": p.sample(key_x)}

    batched, key = evaluation.over_examples(draw), threefry.key(seed)
    return evaluation.map_examples(batched, (params, key), np.arange(num), batch_size, progress)


def draw_picture(means: np.ndarray, title: str) -> Any:
    """Return a picture of the first means in a square-ish grid."""
    means = means[:_MOST_DRAWN]
    columns = math.ceil(math.sqrt(len(means)))
    rows = -(-len(means) // columns)
    padding = [(0, rows * columns - len(means)), *[(0, 0)] * (means.ndim - 1)]
    padded = np.pad(means, padding, constant_values=np.nan)
    return figures.image_grid(padded.reshape(rows, columns, *means.shape[1:]), title)


def sample_to_file(workdir: str, output: str, member: int, num: int, seed: int) -> None:
    """Draw `num` samples of a trained member, write them and a picture beside them.

    Raises:
      ValueError: a run, a member or a name that cannot be used.
      OSError: the output cannot be written.
    """
    path, picture = Path(output), Path(output).with_suffix(".png")
    if path == picture:
        raise ValueError(f"--output={output} is where the picture goes: name an npz")
    run, how, params = load_member(workdir, member)
    batch_size = min(how.batch_size, num)
    track = reporting.track("samples", batch_size)
    with records.output_file(path) as file, records.output_file(picture) as image:
        samples = draw_samples(run, params, num, seed, batch_size, track)
        np.savez(file, **samples)
        caption = f"{run.dataset.protocol}, {run.members[member].name}"
        title = f"decoded samples from the prior (--seed={seed})\n{caption}"
        draw_picture(samples["mean"], title).savefig(image, format="png")
    reporting.say(f"{output}, {picture}: {num} samples")


def main() -> None:
    """Parse what the command line says and draw from that run."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        sample_to_file(given.workdir, given.output, given.member, given.num, given.seed)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_integer("num", 64, "number of samples", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "of the samples", lower_bound=0, upper_bound=2**32 - 1)
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_string("output", "samples.npz", "npz to write; the picture goes beside it")
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir",))
