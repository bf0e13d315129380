"""Encode examples: python -m experiments.encode --workdir=DIR --input=x.npz --output=z.npz

The input has the examples under key x, in the units of the training data, and optionally y. The
output has, per example: mean and scale of q(z|x), the reconstruction (the mean of p(x|z) at that
mean), and elbo and log_likelihood in nats, by --num_samples importance samples.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from absl import flags
import numpy as np

from experiments import cli, measurement, records, reporting
from experiments.evaluate import load_member
from experiments.runs import Evaluation, Run
from vae_jax import datasets, evaluation


def encode_examples(
    run: Run,
    how: Evaluation,
    params: Any,
    examples: datasets.Examples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, np.ndarray]:
    """Return what the program writes, by name, with examples along the first axis.

    Args:
      run: the run.
      how: its number of importance samples, its key and its sizes are used.
      params: those of one member.
      examples: as they are stored, like those of run.dataset.
      progress: wraps the sequence of batches.
    """
    # They stand in for the test set, so that its own examples give the numbers of summary.json.
    run = run._replace(dataset=run.dataset._replace(test=examples))
    seen = measurement.model_examples(run, how, "test")
    measure = measurement.make_measure(run.vae, how, how.num_samples)
    describe = make_describe(run.vae)

    def measure_and_describe(params, indices, batch):
        return measure(params, indices, batch) | describe(params, indices, batch)

    results = evaluation.map_examples(measure_and_describe, params, seen, how.batch_size, progress)
    names = ("mean", "scale", "reconstruction", "elbo", "log_likelihood")
    return {name: results[name] for name in names}


def make_describe(vae: Any) -> Callable:
    """Make the batched function that returns mean and scale of q(z|x) and the reconstruction."""

    def describe(params, index, example):
        x, y = example
        q = vae.encode(params, x, y)
        reconstruction = vae.decode(params, q.mean, y).mean
        return {"mean": q.mean, "scale": q.scale, "reconstruction": reconstruction}

    return evaluation.over_examples(describe)


def check_fits(dataset: datasets.Dataset, x: np.ndarray, name: str) -> None:
    """Refuse examples of another shape, or in other units, than those of the run.

    Raises:
      ValueError: with what was given and what is expected; `name` says whose they are.
    """
    if x.shape[1:] != dataset.shape:
        raise ValueError(
            f"'x' of {name} has examples of shape {x.shape[1:]}, but those of the run have shape "
            f"{dataset.shape} ({dataset.protocol})"
        )
    low, high, maximum = x.min(), x.max(), dataset.maximum
    fits = {
        "static": bool(np.all((x == 0) | (x == maximum))),
        "dynamic": 0 <= low <= high <= maximum,
        "none": True,
    }[dataset.binarization]
    # Values in 0 .. 1, where the run divides by 255: nobody has so dark images, but many divide.
    if not fits or 0 < high <= 1 < maximum:
        units = "bits, stored as 0 and" if dataset.binarization == "static" else "values in 0 .."
        raise ValueError(
            f"'x' of {name} has values in {low:g} .. {high:g}, but the run was trained on {units} "
            f"{maximum:g} ({dataset.protocol})"
        )


def encode_file(workdir: str, source: str, output: str, member: int, num_samples: int) -> None:
    """Encode the examples of one npz and write another.

    Raises:
      ValueError: a run, a member or examples that cannot be used.
      OSError: the output cannot be written.
    """
    name = f"--input={source}"
    examples = datasets.check_examples(*datasets.read_npz(source), name)
    run, how, params = load_member(workdir, member)
    check_fits(run.dataset, examples.x, name)
    batch_size = min(how.batch_size, len(examples.x))
    how = how._replace(num_samples=num_samples, batch_size=batch_size)
    track = reporting.track(f"examples, {num_samples} importance samples each", batch_size)
    with records.output_file(Path(output)) as file:
        if run.dataset.binarization == "dynamic":
            reporting.say(f"the model sees bits: drawn once, P(1) = x / {run.dataset.maximum:g}")
        encoded = encode_examples(run, how, params, examples, track)
        np.savez(file, **encoded)
    means = ", ".join(f"{key} {encoded[key].mean():.2f}" for key in ("elbo", "log_likelihood"))
    reporting.say(f"{output}: {len(examples.x)} examples; means in nats: {means}")


def main() -> None:
    """Parse what the command line says and encode that file."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        encode_file(given.workdir, given.input, given.output, given.member, given.num_samples)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_string("input", None, "npz with the examples under key x")
    flags.DEFINE_string("output", None, "npz to write")
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_integer("num_samples", 100, "importance samples an example", lower_bound=1)
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir", "input", "output"))
