"""Encode examples: python -m experiments.encode --workdir=DIR --input=x.npz --output=z.npz

The input has the examples under key x, in the units of the training data, and optionally y and
mask; several fields have a key each. Of a table it is a CSV or a parquet file with the columns of
the training data. The output has, per example: mean of q(z|x) and, of Gaussians, scale; the
reconstruction (the mean of p(x|z) at that mean, or else at a sample), of a table one for each kind
of columns; and elbo and log_likelihood in nats, by --num_samples importance samples.

A run of the objective semi_supervised has a classifier q(y|x): an example without y, or with y = -1
there, gets its most probable label, and the output has these y and label_probabilities.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from absl import flags
import jax
import numpy as np

from experiments.support import cli, console, measurement, run_folder
from experiments.support.assembly import Evaluation, Run
from experiments.support.loading import load_member_params
from experiments.support.memory import check_evaluation_memory
from experiments.support.options import by_field
from vae_jax import datasets, evaluation, models
from vae_jax.distributions import FullGaussian, Gaussian, Masked
from vae_jax.lookup import pick


def encode_examples(
    run: Run,
    how_measured: Evaluation,
    params: Any,
    examples: datasets.Examples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, np.ndarray]:
    """Return the arrays that the program writes, by name, with examples along the first axis.

    Args:
      run: the run.
      how_measured: its number of importance samples, its keys and its sizes are used.
      params: those of one member.
      examples: as they are stored, like those of run.dataset.
      progress: wraps the sequence of batches.
    """
    seen = measurement.model_test_examples(run, how_measured, examples)
    measure = measurement.make_run_measure(run, how_measured, how_measured.num_samples)
    describe = make_describe(run.vae, how_measured.keys.codes)

    def measure_and_describe(params, indices, batch):
        measured = measure(params, indices, batch)
        # The program's `reconstruction` is an example, not a number in nats.
        del measured["kl"], measured["reconstruction"]
        return measured | describe(params, indices, batch)

    results = evaluation.map_examples(
        measure_and_describe, params, seen, how_measured.batch_size, progress
    )
    results = {name.removeprefix("posterior_"): each for name, each in results.items()}
    x = datasets.unstandardize(run.dataset, results.pop("reconstruction"))
    fields = {"": x} if run.dataset.is_plain else x
    return results | {f"reconstruction_{name}".rstrip("_"): each for name, each in fields.items()}


def make_describe(vae: Any, key: Any) -> Callable:
    """Make the batched function that returns the scale of q(z|x) and the reconstruction."""

    def describe(params, index, example):
        x, y = example
        q = vae.encode(params, x, y)
        # Only a Gaussian's mean is a typical code: the mean of one-hot vectors is not a value of z.
        has_mean = isinstance(q, Gaussian | FullGaussian)
        z = q.mean if has_mean else q.sample(jax.random.fold_in(key, index))
        scale = {"scale": q.scale} if has_mean else {}
        return scale | {"reconstruction": vae.decode(params, z, y).mean}

    return evaluation.over_examples(describe)


def fill_labels(
    run: Run, how_measured: Evaluation, params: Any, examples: datasets.Examples
) -> tuple[datasets.Examples, dict[str, np.ndarray]]:
    """Return examples whose missing labels are the most probable ones, and what is written of them.

    The latter is `y` and q(y|x) of each class, `label_probabilities`; {} where the run trained no
    classifier.

    Args:
      run: the run.
      how_measured: its keys and its sizes are used.
      params: those of one member, the objective's too.
      examples: as they are stored.
    """
    classify = run.objective.classify
    if classify is None:
        return examples, {}
    seen = measurement.model_test_examples(run, how_measured, examples)

    def log_probabilities(params, index, x):
        return classify(run.vae, params, x)

    batched = evaluation.over_examples(log_probabilities)
    q = np.exp(
        evaluation.map_examples(batched, params["objective"], seen.x, how_measured.batch_size)
    )
    y = np.full(len(q), -1) if examples.y is None else examples.y
    y = np.where(y < 0, np.argmax(q, axis=1), y)
    return examples._replace(y=y), {"y": y, "label_probabilities": q}


def check_fits(run: Run, examples: datasets.Examples, name: str) -> None:
    """Refuse examples of another shape or in other units than the run's, or without the y it needs.

    Of a table, `datasets.examples_from` has checked the columns.

    Raises:
      ValueError: with what was given and what is expected; `name` says whose they are.
    """
    dataset, x = run.dataset, examples.x
    likelihood = by_field(run.config.vae.likelihood)
    for field, values in dataset.fields.items() if dataset.columns is None else ():
        array = x if dataset.is_plain else x[field]
        if isinstance(array, Masked):
            array = np.where(array.mask, array.values, values.maximum * values.value_range[0])
        kind = models.LIKELIHOODS[pick(likelihood, field)].values
        check_array_fits(array, values, kind, f"{field!r} of {name}", dataset.protocol)
        warn_of_range(array, values, f"{field!r} of {name}")
    if run.is_conditional and dataset.given is None:
        check_condition(examples.y, dataset.condition, name, run.objective.classify is not None)


def check_condition(
    y: np.ndarray | None, condition: Any, name: str, may_be_missing: bool = False
) -> None:
    """Refuse a y that is missing (None, or the label -1), out of range or of another shape.

    Raises:
      ValueError: with what is expected; `name` says whose it is.
    """
    if y is None:
        if may_be_missing:
            return
        raise ValueError(f"{name} has no key 'y', which the model of this run is given")
    if isinstance(condition, int):
        least = -1 if may_be_missing else 0
        if y.ndim != 1 or y.dtype.kind not in "ui" or y.min() < least or y.max() >= condition:
            missing = " (or -1, missing)" if may_be_missing else ""
            raise ValueError(
                f"'y' of {name} must be integers 0 .. {condition - 1}{missing}, one per example; "
                f"got shape {y.shape} of type {y.dtype} in {y.min()} .. {y.max()}"
            )
    elif y.shape[1:] != condition:
        raise ValueError(f"'y' of {name} has shape {y.shape[1:]} per example, not {condition}")


def check_array_fits(
    x: np.ndarray, values: datasets.Values, kind: str, name: str, protocol: str
) -> None:
    """Refuse an array of another shape, or in other units, than the run's.

    Args:
      x: the array.
      values: those of the run's data.
      kind: what the likelihood is a density of, a key of `models.VALUES`.
      name: says whose array it is.
      protocol: that of the run's data.

    Raises:
      ValueError: with what was given and what is expected.
    """
    if x.shape[1:] != values.shape:
        raise ValueError(
            f"{name} has examples of shape {x.shape[1:]}, but those of the run have shape "
            f"{values.shape} ({protocol})"
        )
    low, high, maximum = x.min(), x.max(), values.maximum
    is_within, is_integer = 0 <= low <= high <= maximum, bool(np.all(x == np.round(x)))
    kind = "unit" if values.binarization == "dynamic" else kind
    fits, units = {
        "bits": (np.all((x == 0) | (x == maximum)), f"bits, stored as 0 and {maximum:g}"),
        "unit": (is_within, f"values in 0 .. {maximum:g}"),
        "levels": (is_within and is_integer, f"integers 0 .. {maximum:g}"),
        "counts": (low >= 0 and is_integer, "integers >= 0"),
        "real": (True, f"values in units of which {maximum:g} stands for 1"),
    }[kind]
    # Values in 0 .. 1, where the run divides by 255: nobody has so dark images, but many divide.
    if not fits or 0 < high <= 1 < maximum:
        raise ValueError(
            f"{name} has values in {low:g} .. {high:g}, but the run was trained on {units} "
            f"({protocol})"
        )


def warn_of_range(x: np.ndarray, values: datasets.Values, name: str) -> None:
    """Say that values lie far outside of those that the run was trained on.

    Args:
      x: the array.
      values: those of the run's data.
      name: says whose array it is.
    """
    low, high = (values.maximum * end for end in values.value_range)
    margin, units = 2 * (high - low), " (standardized)" if values.units else ""
    if x.min() < low - margin or x.max() > high + margin:
        console.say(
            f"warning: {name} has values in {x.min():g} .. {x.max():g}{units}, but the run was "
            f"trained on {low:g} .. {high:g}, which codes and bounds hold for: scale them as the "
            "training data"
        )


def read_examples(outline: datasets.Dataset, source: str, name: str) -> datasets.Examples:
    """Return the examples of an npz, or the rows of a table, in the form of the run's own.

    Raises:
      ValueError: a file that cannot be read, or other examples than the run's.
    """
    if outline.columns is not None:
        return datasets.examples_from(outline, datasets.read_table(source), name=name)
    fields = () if outline.is_plain else tuple(outline.values)
    x, y, mask, _ = datasets.read_npz(source, fields)
    return datasets.examples_from(outline, x, y, name, mask)


def encode_file(workdir: str, source: str, output: str, member: int, num_samples: int) -> None:
    """Encode the examples of one npz and write another.

    Raises:
      ValueError: a run, a member or examples that cannot be used.
      OSError: the output cannot be written.
    """
    name = f"--input={source}"
    run, how_measured, params = load_member_params(workdir, member)
    examples = read_examples(run.dataset, source, name)
    check_fits(run, examples, name)
    count = datasets.num_examples(examples)
    batch_size = min(how_measured.batch_size, count)
    how_measured = how_measured._replace(num_samples=num_samples, batch_size=batch_size)
    check_evaluation_memory(run, how_measured, count)
    run = run._replace(dataset=datasets.with_images(run.dataset))  # those of the file are images
    track = console.track(f"examples, {num_samples} importance samples each", batch_size)
    with run_folder.output_file(Path(output)) as file:
        dynamic = [each for each in run.dataset.fields.values() if each.binarization == "dynamic"]
        if dynamic:
            console.say(f"the model sees bits: drawn once, P(1) = x / {dynamic[0].maximum:g}")
        examples, labels = fill_labels(run, how_measured, params, examples)
        encoded = encode_examples(run, how_measured, params["vae"], examples, track) | labels
        np.savez(file, **encoded)
    means = ", ".join(f"{key} {encoded[key].mean():.2f}" for key in ("elbo", "log_likelihood"))
    console.say(f"{output}: {count} examples; means in nats: {means}")


def main() -> None:
    """Parse what the command line says and encode that file."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        encode_file(given.workdir, given.input, given.output, given.member, given.num_samples)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "folder of the run")
    flags.DEFINE_string("input", None, "npz with the examples under key x, or a CSV or parquet")
    flags.DEFINE_string("output", None, "npz to write")
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_integer("num_samples", 100, "importance samples per example", lower_bound=1)
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir", "input", "output"))
