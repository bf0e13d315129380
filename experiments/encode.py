"""Encode examples: python -m experiments.encode --workdir=DIR --input=x.npz --output=z.npz

The input has the examples under key x, in the units of the training data, and optionally y and
mask; several fields have a key each. Of a table it is a CSV or a parquet file with the columns of
the training data. The output, an npz, CSV or parquet file as its name ends, has, per example: mean
of q(z|x) and, of Gaussians, scale; the reconstruction (the mean of p(x|z) at that mean, or else at
a sample), of a table one for each kind of columns, or in a CSV or parquet file for each column; and
elbo and log_likelihood in nats, by --num_samples importance samples. A CSV or parquet file holds no
images; rows keep their index.

A run of the objective semi_supervised has a classifier q(y|x): an example without y, or with y = -1
there, gets its most probable label, and the output has these y and label_probabilities.
"""

from collections.abc import Callable, Iterable
from typing import Any

from absl import flags
import jax
import numpy as np

from experiments.support import cli, console, files, measurement
from experiments.support.assembly import Evaluation, Run
from experiments.support.loading import load_member_params
from experiments.support.memory import check_evaluation_memory
from vae_jax import datasets, evaluation, models
from vae_jax.distributions import FullGaussian, Gaussian


def encode_examples(
    run: Run,
    how_measured: Evaluation,
    params: Any,
    examples: datasets.Examples,
    progress: Callable[[Iterable], Iterable] = iter,
    as_table: bool = False,
) -> dict[str, np.ndarray]:
    """Return the arrays that the program writes, by name, with examples along the first axis.

    Args:
      run: the run.
      how_measured: its number of importance samples, its keys and its sizes are used.
      params: those of one member.
      examples: as they are stored, like those of run.dataset.
      progress: wraps the sequence of batches.
      as_table: whether the reconstruction of a table has an array for each of its columns, with
        categories by their names.
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
    x = results.pop("reconstruction")
    if as_table and run.dataset.columns is not None:
        frame = datasets.to_user(run.dataset, x)
        return results | {f"reconstruction_{name}": np.asarray(frame[name]) for name in frame}
    x = datasets.unstandardize(run.dataset, x)
    fields = {"": x} if run.dataset.is_plain else x
    return results | {f"reconstruction_{name}".rstrip("_"): each for name, each in fields.items()}


def make_describe(vae: Any, key: Any) -> Callable:
    """Make the batched function that returns the scale of q(z|x) and the reconstruction."""

    def describe(params, index, example):
        x, y = example
        q = vae.encode(params, x, y)
        z = evaluation.typical_code(jax.random.fold_in(key, index), q)
        scale = {"scale": q.scale} if isinstance(q, Gaussian | FullGaussian) else {}
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


def encode_file(
    workdir: str,
    source: str,
    output: str,
    member: int,
    num_samples: int,
    given: Any = None,
    overwrite: bool = False,
) -> None:
    """Encode the examples of one file and write another.

    `given` is the config that defines rows of the run's own.

    Raises:
      ValueError: a run, a member or examples that cannot be used.
      OSError: the output cannot be written.
    """
    files.check_output(output, overwrite)
    name, is_table = f"--input={source}", output.endswith(files.TABLES)
    run, how_measured, params = load_member_params(workdir, member, given=given)
    x, y, index = files.read_given(run.dataset, source)
    examples = datasets.examples_from(run.dataset, x, y, name)
    models.check_fits(run.vae, run.dataset, examples, name, run.objective.classify is not None)
    for line in models.far_from_training(run.dataset, examples, name):
        console.say(f"warning: {line}")
    count = datasets.num_examples(examples)
    batch_size = min(how_measured.batch_size, count)
    how_measured = how_measured._replace(num_samples=num_samples, batch_size=batch_size)
    check_evaluation_memory(run, how_measured, count)
    run = run._replace(dataset=datasets.with_images(run.dataset))  # those of the file are images
    track = console.track(f"examples, {num_samples} importance samples each", batch_size)
    dynamic = [each for each in run.dataset.fields.values() if each.binarization == "dynamic"]
    if dynamic:
        console.say(f"the model sees bits: drawn once, P(1) = x / {dynamic[0].maximum:g}")
    examples, labels = fill_labels(run, how_measured, params, examples)
    encoded = encode_examples(run, how_measured, params["vae"], examples, track, is_table) | labels
    files.write_result(output, files.held_by(output, encoded), index)
    means = ", ".join(f"{key} {encoded[key].mean():.2f}" for key in ("elbo", "log_likelihood"))
    what = f"{count} examples; means in nats: {means}"
    console.say_written([output], what, files.how_to_read(output))


def main() -> None:
    """Parse what the command line says and encode that file."""
    given = flags.FLAGS
    with cli.user_errors():
        cli.use_machine_flags()
        config = cli.given_config()
        encode_file(
            *(given.workdir, given.input, given.output, given.member, given.num_samples),
            *(config, given.overwrite),
        )


if __name__ == "__main__":
    files.define_flags("folder of the run")
    flags.DEFINE_integer("num_samples", 100, "importance samples per example", lower_bound=1)
    cli.define_machine_flags()
    cli.run_program(main, required=("workdir", "input", "output"))
