"""Training in one call: `fit` and `fit_members`, of the pieces of the training program."""

from collections.abc import Iterable, Mapping
import contextlib
import dataclasses
import itertools
import signal
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.datasets import (
    Dataset,
    expected_examples,
    from_arrays,
    from_outline,
    make_batches,
    num_examples,
    outline_of,
    to_model_examples,
    with_images,
)
from vae_jax.evaluation import (
    baseline_log_probs,
    best_evaluations,
    describe_gains,
    evaluation_keys,
    make_measure,
    map_examples,
    mean_bounds,
    summarize,
)
from vae_jax.fast import threefry
from vae_jax.lookup import (
    check_not_negative,
    check_positive,
    check_seed,
    check_whole,
    look_up,
    options_of,
)
from vae_jax.model import Model
from vae_jax.models import VAE
from vae_jax.objectives import (
    OBJECTIVES,
    Objective,
    check_batch_size,
    check_labels,
    check_latents,
    make_objective,
)
from vae_jax.progress import deferred_stop, print_numbers, progress_bar, say
from vae_jax.training import (
    init_members,
    make_optimizer,
    make_schedule,
    make_train_step,
    make_train_steps,
)

_MOST_STEPS = 200  # between two looks at the progress, or at Ctrl-C
_EVALUATIONS = 20  # of the validation examples, where their period is not given


class Fitted(NamedTuple):
    """A model that `fit` trained, and how it went."""

    model: Model
    """Batched functions in the units of the data: `model.encode(x)`, ..."""
    history: dict[str, dict[str, np.ndarray]]
    """{"train", "validation"}: {"step" and the metrics of the objective, by name}, in nats."""
    numbers: dict[str, float]
    """Of the test examples, in nats: `elbo`, `nll` (-log p(x)), `kl`, `reconstruction`; `step`."""

    @property
    def params(self) -> Any:
        """The parameters of the VAE."""
        return self.model.params


def fit(
    vae: VAE,
    data: Any,
    objective: str | Objective = "elbo",
    *,
    num_epochs: int = 100,
    batch_size: int | None = None,
    learning_rate: float = 2e-3,
    optimizer: str = "adam",
    schedule: str = "cosine",
    clip_norm: float = 0.0,
    ema_decay: float = 0.0,
    patience: int = 0,
    eval_every_epochs: int = 0,
    num_samples: int = 100,
    seed: int = 0,
    silent: bool = False,
) -> Fitted:
    """Train a VAE on data, and measure it on the test examples.

    It is what `experiments.train` does, without a config, a folder and checkpoints: the same
    arguments have the names of its fields. Progress and a table of the numbers are printed.

    Ctrl-C ends the training early, with what was reached by then; a second one raises
    KeyboardInterrupt at once.

    Args:
      vae: of `make_vae_for(data, ...)`.
      data: a data set, or what `from_arrays` takes as x, split 80 / 10 / 10.
      objective: a row of OBJECTIVES, or what `make_objective` returned.
      num_epochs: passes over the training examples.
      batch_size: examples per step; None: 100, or all where there are fewer.
      learning_rate: peak.
      optimizer: a row of OPTIMIZERS.
      schedule: of the learning rate, a row of SCHEDULES, after a short warm-up.
      clip_norm: largest global norm of a gradient; 0: no clipping.
      ema_decay: of an average of the weights, which is then the result; 0: none.
      patience: evaluations without a better validation ELBO before training stops; the result is
        then that of the best one. 0: the result is that of the last step.
      eval_every_epochs: between two ELBOs of the validation examples; 0: twenty of them in all.
      num_samples: importance samples of -log p(x) of the test examples.
      seed: of initial weights, order and noise.
      silent: print nothing.

    Raises:
      ValueError: an argument that is not possible, with what is.
      FloatingPointError: training diverged.
    """
    return fit_members(**locals())[0]


def fit_members(
    vae: VAE,
    data: Any,
    objective: str | Objective = "elbo",
    *,
    sweep: Mapping[str, Iterable[Any]] | None = None,
    num_seeds: int = 1,
    **options: Any,
) -> list[Fitted]:
    """Train models that differ in numbers or seeds together, in one program, and measure each.

    One for each combination of the values of `sweep`, and for each seed of it; the seeds vary
    fastest. Each is what `fit` makes of its numbers and its seed, to float precision.

    Args:
      vae: of `make_vae_for(data, ...)`.
      data: as of `fit`.
      objective: as of `fit`.
      sweep: values by name, of "learning_rate" and of the objective's hparams: {"beta": [1, 4]}.
      num_seeds: how many seeds, counted on from `seed`.
      **options: the other arguments of `fit`.

    Raises:
      ValueError: an argument that is not possible, with what is.
      FloatingPointError: training of one diverged, with its name.
    """
    given = options_of(fit)
    for name in options:
        look_up(given, name, "option")
    return _fit_members(vae, data, objective, sweep or {}, num_seeds, **given | options)


def _fit_members(
    vae,
    data,
    objective,
    sweep,
    num_seeds,
    *,
    num_epochs,
    batch_size,
    learning_rate,
    optimizer,
    schedule,
    clip_norm,
    ema_decay,
    patience,
    eval_every_epochs,
    num_samples,
    seed,
    silent,
):
    data = data if isinstance(data, Dataset) else from_arrays(data)
    check_positive(learning_rate=learning_rate)
    check_not_negative(ema_decay=ema_decay)
    check_seed(seed=seed)
    check_whole(1, 10**7, num_epochs=num_epochs, num_samples=num_samples)
    check_whole(0, 10**7, patience=patience, eval_every_epochs=eval_every_epochs)
    check_whole(1, 10**4, num_seeds=num_seeds)
    batch_size = min(100, num_examples(data.train)) if batch_size is None else batch_size
    arguments, objective = _make_objective(objective, vae, data, batch_size)
    batches = make_batches(data, batch_size)
    num_steps = num_epochs * batches.steps_per_epoch
    rate = make_schedule(schedule, num_steps=num_steps, warmup_steps=min(100, num_steps // 10))
    adam = make_optimizer(optimizer, rate, clip_norm=clip_norm)
    same = {"learning_rate": learning_rate, **objective.hparams}
    names, keys, hparams = _plan_members(sweep, same, range(seed, seed + num_seeds))
    means = expected_examples(data, data.train)
    state = init_members(keys, hparams, vae, objective, adam, means, ema_decay > 0)
    train_step = make_train_step(vae, objective, adam, batches, ema_decay)
    every = eval_every_epochs or max(1, num_epochs // _EVALUATIONS)
    stops = _plan_stops(num_steps, every * batches.steps_per_epoch)
    with _show(silent, num_steps, batch_size * len(names)) as show:
        train_steps, validate = make_train_steps(train_step, batches), _make_validate(vae, data)
        trained = _train(state, train_steps, data.train, stops, validate, patience, show, names)
    measure = _make_measure(vae, data, "test", num_samples)
    has_classifier = arguments and make_objective(**arguments).classify is not None
    kept = with_images(from_outline(outline_of(data)))
    model = Model(vae, None, kept, objective=arguments if has_classifier else None)
    titles = names if len(names) > 1 else [""]
    return [
        _measure(model, params, data, history, measure, silent, title)
        for title, (params, history) in zip(titles, trained, strict=True)
    ]


def _plan_members(sweep, hparams, seeds):
    """Return the name and the key of each member, and {hparam: one number, or one of each}."""
    sweep = {name: [float(value) for value in values] for name, values in sweep.items()}
    for name, values in sweep.items():
        look_up(hparams, name, "sweep")
        check_not_negative(**{name: min(values, default=-1)})
    points = [dict(zip(sweep, each, strict=True)) for each in itertools.product(*sweep.values())]
    members = [(point, seed) for point in points for seed in seeds]
    names = [", ".join(f"{k}={v:g}" for k, v in {**p, "seed": seed}.items()) for p, seed in members]
    keys = jnp.concatenate([jax.random.split(threefry.key(seed), 1) for _, seed in members])
    swept = {name: jnp.array([point[name] for point, _ in members], float) for name in sweep}
    return names, keys, hparams | swept


def _make_objective(objective, vae, data, batch_size):
    # What it is made of, where it is made here, and the objective.
    arguments = None
    if isinstance(objective, str):
        arguments = {"name": objective}
        if "dataset_size" in options_of(look_up(OBJECTIVES, objective, "objective")):
            arguments["dataset_size"] = num_examples(data.train)
        objective = make_objective(**arguments)
    check_latents(vae, objective.latents)
    check_batch_size(objective.compares_examples, batch_size)
    check_labels(objective, vae, data)
    return arguments, objective


def _show(silent, num_steps, batch_size):
    if silent:
        return contextlib.nullcontext(lambda done, text: None)
    return progress_bar(num_steps, 0, batch_size)


def _measure(model, params, data, history, measure, silent, title):
    """Return what was trained, with its numbers of the test examples, which are printed."""
    vae, train = model.vae, expected_examples(data, data.train)
    baseline = baseline_log_probs(vae, train, _model_examples(data, "test"), 100)
    summary = summarize([measure(params["vae"])], latents=vae.latents, baseline=baseline)
    numbers = {name: each[0] for name, each in summary.items()}
    numbers["step"] = int(history["train"]["step"][-1])
    if not silent:
        heads = [data.protocol, f"{numbers['step']:,} steps", title]
        print_numbers(", ".join(filter(None, heads)), numbers)
        for line in describe_gains(summary, ["the model"], vae.condition is not None):
            say(line)
    model = dataclasses.replace(
        model,
        params=params["vae"],
        metadata={"numbers": numbers} | ({"member": title} if title else {}),
        objective_params=params["objective"] if model.objective else None,
    )
    return Fitted(model, history, numbers)


def _plan_stops(num_steps, period):
    """Return (step, whether it is evaluated) of each moment at which training is looked at."""
    looks = {*range(_MOST_STEPS, num_steps, _MOST_STEPS), *range(period, num_steps, period)}
    return [(step, step % period == 0 or step == num_steps) for step in sorted({*looks, num_steps})]


def _train(state, train_steps, train, stops, validate, patience, show, names):
    """Return (parameters, history) of each member: as at its best evaluation, with patience."""
    train, members = jax.device_put(train), range(len(names))
    select = jax.jit(lambda params, i: jax.tree.map(lambda leaf: leaf[i], params))
    lines, elbos, best, is_done = (
        {"train": [], "validation": []},
        [],
        {},
        np.zeros(len(names), bool),
    )
    with deferred_stop((signal.SIGINT,)) as stop_requested:
        for stop, is_evaluated in stops:
            state, metrics = train_steps(state, train, stop)
            _check_finite(state, names)
            lines["train"].append({"step": stop} | jax.device_get(metrics))
            params = [select(state.evaluation_params, i) for i in members]
            if is_evaluated:
                bounds = validate([each["vae"] for each in params])
                lines["validation"].append({"step": stop} | bounds)
                elbos.append(bounds["elbo"])
                waited = best_evaluations(np.array(elbos))[1]
                for i in np.flatnonzero(~is_done & (waited == 0)) if patience else ():
                    best[i] = params[i]
                is_done |= bool(patience) & (waited >= patience)
            show(stop, _describe(lines))
            if stop_requested() or is_done.all():
                break
    return [
        (best.get(i, params[i]), {split: _by_name(each, i) for split, each in lines.items()})
        for i in members
    ]


def _check_finite(state, names):
    for name, step in zip(names, state.failure.step, strict=True):
        if step >= 0:
            which = f" of {name}" if len(names) > 1 else ""
            raise FloatingPointError(
                f"training{which} diverged at step {step}: lower learning_rate, set clip_norm, or "
                "look at the scale of the data"
            )


def _describe(lines):
    metrics = lines["train"][-1]
    text = "  ".join(
        f"{label} {_range(metrics[name])}"
        for name, label in (("elbo", "ELBO"), ("kl", "KL"), ("reconstruction", "reconstruction"))
    )
    validation = lines["validation"]
    return f"{text} nats" + (
        f"  validation ELBO {_range(validation[-1]['elbo'])}" if validation else ""
    )


def _range(values):
    return " .. ".join(f"{each:.2f}" for each in sorted({min(values), max(values)}))


def _by_name(lines, member):
    """Return {name: the number of one member in each line}, and the steps."""
    names = lines[0] if lines else ()
    return {
        name: np.array([line[name] if name == "step" else line[name][member] for line in lines])
        for name in names
    }


def _make_validate(vae, data):
    """Make validate(params of each member) -> {mean ELBO, KL, ... of the validation examples}."""
    measure = _make_measure(vae, data, "validation", 1)

    def validate(params):
        return mean_bounds([measure(each) for each in params])

    return validate


def _make_measure(vae, data, split, num_samples):
    # As the programs measure: bits that are drawn, and noise, are the same each time.
    measure = make_measure(vae, evaluation_keys(threefry.key(0)), num_samples, chunk_size=20)
    examples = _model_examples(data, split)
    return lambda params: map_examples(measure, params, examples, 100)


def _model_examples(data, split):
    keys = evaluation_keys(threefry.key(0))
    key = jax.random.fold_in(keys.binarization, data._fields.index(split))
    return jax.device_get(to_model_examples(data, key, getattr(data, split)))
