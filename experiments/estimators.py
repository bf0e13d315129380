"""Measure gradient estimators: python -m experiments.estimators --workdir=DIR

Or of a model as it starts: --config=configs/default.py --output=estimators.json. For K = 1, 2, 4 up
to --num_samples samples per example, it takes gradients of the importance-weighted bound of a batch
of test examples by each estimator, --num_replicates times with other noise, and reports for encoder
and decoder the signal-to-noise ratio, the variance, and the squared bias relative to a reference:
the doubly reparameterized gradient, or that of vimco for discrete latents. The JSON file
(DIR/estimators.json) has all numbers, the picture beside it the signal-to-noise ratios.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import itertools
from pathlib import Path
from typing import Any

from absl import flags
import jax
from ml_collections import config_flags
import numpy as np

from experiments.support import cli, console, gradients, measurement, run_folder
from experiments.support.assembly import Evaluation, Run, build_evaluation, build_run
from experiments.support.loading import load_member
from experiments.support.memory import check_evaluation_memory
from experiments.support.options import resolve
from vae_jax import datasets, evaluation, figures, training
from vae_jax.fast import threefry

_GROUPS = 10  # of the replicates, for standard errors
_LEAST_REPLICATES = 2 * _GROUPS
_PARAMETERS = 1000  # of each network, drawn at random
_CHUNK = 64  # samples at once


def measure(
    run: Run,
    params: Any,
    batch: datasets.Examples,
    estimators: Sequence[str],
    numbers: Sequence[int],
    num_replicates: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[tuple[str, int, str], evaluation.GradientMoments]:
    """Return the moments of the gradients by estimator, K, and "encoder" or "decoder".

    Every estimator sees the same keys.

    Args:
      run: the run, of whose model this is.
      params: of the model, of one member.
      batch: examples as the model sees them.
      estimators: names of rows of ESTIMATORS.
      numbers: values of K.
      num_replicates: of each gradient; a multiple of the number of groups.
      progress: wraps the sequence of what is computed.
    """
    key_parameters, key_objective, key_replicates = jax.random.split(threefry.key(0), 3)
    blocks = ("encoder", "decoder")
    chosen = evaluation.choose_parameters(key_parameters, params, blocks, _PARAMETERS)
    keys = jax.random.split(key_replicates, (_GROUPS, num_replicates // _GROUPS))
    moments = {}
    for estimator, number in progress(gradients.pairs(estimators, numbers)):
        loss = gradients.make_loss(run.vae, estimator, number, _CHUNK, key_objective, batch)
        group_moments = evaluation.make_group_moments(loss, chosen)
        groups = [jax.device_get(group_moments(each, params, batch)) for each in keys]
        for block in blocks:
            own = [group[block] for group in groups]
            moments[estimator, number, block] = evaluation.join_groups(own, keys.shape[1])
    return moments


def report(
    run: Run,
    how_measured: Evaluation,
    params: Any,
    output: Path,
    names: Sequence[str],
    num_samples: int,
    num_replicates: int,
    batch_size: int,
) -> None:
    """Measure, print the table, write the JSON file `output` and the picture beside it.

    Raises:
      ValueError: an estimator that cannot be measured, or sizes that do not fit.
      OSError: the output cannot be written.
    """
    picture = output.with_suffix(".png")
    if picture == output:
        raise ValueError(f"--output={output} is where the picture goes: name a json")
    if num_replicates % _GROUPS:
        raise ValueError(f"--num_replicates must be a multiple of {_GROUPS}, got {num_replicates}")
    estimators, left_out = gradients.choose_estimators(run.vae, names)
    for name, reason in left_out.items():
        console.say(f"{name} is left out: {reason}")
    if "score_function" in estimators:
        console.say("score_function has its baseline as it starts, before it has learned anything")
    numbers = list(itertools.takewhile(lambda k: k <= num_samples, (2**i for i in range(21))))
    test = measurement.model_examples(run, how_measured, "test")
    batch = jax.tree.map(lambda leaf: np.asarray(leaf)[:batch_size], test)
    batch = batch if run.is_conditional else batch._replace(y=None)
    count = datasets.num_examples(batch)
    sizes = {"num_samples": numbers[-1], "batch_size": count, "chunk_size": _CHUNK}
    check_evaluation_memory(run, how_measured._replace(**sizes), count)
    text = f"K and estimators, {num_replicates} gradients each"
    track = console.track(text, num_replicates * count)
    with run_folder.output_file(picture) as image:
        moments = measure(run, params, batch, estimators, numbers, num_replicates, track)
        summary = gradients.summarize(moments, estimators)
        context = {
            "protocol": run.dataset.protocol,
            "examples": count,
            "replicates": num_replicates,
            "reference": estimators[0],
            "left_out": left_out,
        }
        run_folder.write_json(output, context | {"estimators": summary})
        title = gradients.title_of(context)
        floor = (2 / (np.pi * num_replicates)) ** 0.5
        figures.signal_to_noise_curves(summary, title, floor).savefig(image, format="png")
    gradients.print_tables(context, summary)
    console.say_written([output, picture])


def open_model(given: Mapping[str, Any]) -> tuple[Run, Evaluation, Any, Path]:
    """Return the run, how it is measured, the parameters and the output that the flags name.

    Raises:
      ValueError: neither a folder nor a config, or one that cannot be used.
    """
    if given["workdir"] is None and given["config"] is None:
        raise ValueError("give --workdir=DIR, a trained run, or --config=FILE, a fresh one")
    if given["workdir"] is not None:
        run, how_measured, params = load_member(
            given["workdir"], given["member"], with_data=True, given=given["config"]
        )
        default = Path(given["workdir"]) / "estimators.json"
        return run, how_measured, params, Path(given["output"] or default)
    if given["output"] is None:
        raise ValueError("with --config, --output=FILE.json names the file for the numbers")
    typed = config_flags.get_override_values(flags.FLAGS["config"])
    config, notes = resolve(given["config"], typed)
    for note in notes:
        console.say(note)
    run = build_run(config)
    state = training.select_member(run.init(run.dataset.train), 0)
    return run, build_evaluation(run.config), state.params["vae"], Path(given["output"])


def main() -> None:
    """Parse what the command line says and measure."""
    given = flags.FLAGS.flag_values_dict()
    with cli.user_errors():
        cli.use_machine_flags()
        names = ("estimators", "num_samples", "num_replicates", "batch_size")
        report(*open_model(given), *(given[name] for name in names))


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "a model as it starts: configs/default.py")
    flags.DEFINE_string("workdir", None, "folder of a trained run")
    flags.DEFINE_integer("member", 0, "which member of a run of several", lower_bound=0)
    flags.DEFINE_string("output", None, "json to write; default: DIR/estimators.json")
    flags.DEFINE_list("estimators", [], "some rows of ESTIMATORS; default: all that apply")
    flags.DEFINE_integer("num_samples", 1024, "largest K", lower_bound=1, upper_bound=2**20)
    flags.DEFINE_integer("num_replicates", 200, "gradients", lower_bound=_LEAST_REPLICATES)
    flags.DEFINE_integer("batch_size", 20, "test examples", lower_bound=1)
    cli.define_machine_flags()
    cli.run_program(main, required=())
