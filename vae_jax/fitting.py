"""Training in one call: `fit`, of the pieces that the training program is made of."""

import contextlib
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
    select_member,
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
    data = data if isinstance(data, Dataset) else from_arrays(data)
    check_positive(learning_rate=learning_rate)
    check_not_negative(ema_decay=ema_decay)
    check_seed(seed=seed)
    check_whole(1, 10**7, num_epochs=num_epochs, num_samples=num_samples)
    check_whole(0, 10**7, patience=patience, eval_every_epochs=eval_every_epochs)
    batch_size = min(100, num_examples(data.train)) if batch_size is None else batch_size
    arguments, objective = _make_objective(objective, vae, data, batch_size)
    batches = make_batches(data, batch_size)
    num_steps = num_epochs * batches.steps_per_epoch
    rate = make_schedule(schedule, num_steps=num_steps, warmup_steps=min(100, num_steps // 10))
    adam = make_optimizer(optimizer, rate, clip_norm=clip_norm)
    keys = jax.random.split(threefry.key(seed), 1)
    hparams = {"learning_rate": learning_rate, **objective.hparams}
    means = expected_examples(data, data.train)
    state = init_members(keys, hparams, vae, objective, adam, means, ema_decay > 0)
    train_step = make_train_step(vae, objective, adam, batches, ema_decay)
    every = eval_every_epochs or max(1, num_epochs // _EVALUATIONS)
    stops = _plan_stops(num_steps, every * batches.steps_per_epoch)
    with _show(silent, num_steps, batch_size) as show:
        train_steps, validate = make_train_steps(train_step, batches), _make_validate(vae, data)
        params, history = _train(state, train_steps, data.train, stops, validate, patience, show)
    return _measure(vae, params, data, history, arguments, num_samples, silent)


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


def _measure(vae, params, data, history, arguments, num_samples, silent):
    """Return what was trained, with its numbers of the test examples, which are printed."""
    measured = _make_measure(vae, data, "test", num_samples)(params["vae"])
    train = expected_examples(data, data.train)
    baseline = baseline_log_probs(vae, train, _model_examples(data, "test"), 100)
    summary = summarize([measured], latents=vae.latents, baseline=baseline)
    numbers = {name: each[0] for name, each in summary.items()}
    numbers["step"] = int(history["train"]["step"][-1])
    if not silent:
        print_numbers(f"{data.protocol}, {numbers['step']:,} steps", numbers)
        for line in describe_gains(summary, ["the model"], vae.condition is not None):
            say(line)
    has_classifier = arguments and make_objective(**arguments).classify is not None
    model = Model(
        vae=vae,
        params=params["vae"],
        dataset=with_images(from_outline(outline_of(data))),
        metadata={"numbers": numbers},
        objective=arguments if has_classifier else None,
        objective_params=params["objective"] if has_classifier else None,
    )
    return Fitted(model, history, numbers)


def _plan_stops(num_steps, period):
    """Return (step, whether it is evaluated) of each moment at which training is looked at."""
    looks = {*range(_MOST_STEPS, num_steps, _MOST_STEPS), *range(period, num_steps, period)}
    return [(step, step % period == 0 or step == num_steps) for step in sorted({*looks, num_steps})]


def _train(state, train_steps, train, stops, validate, patience, show):
    """Return the parameters, of the last step or of the best evaluation, and the history."""
    train = jax.device_put(train)
    lines, elbos, best = {"train": [], "validation": []}, [], None
    with deferred_stop((signal.SIGINT,)) as stop_requested:
        for stop, is_evaluated in stops:
            state, metrics = train_steps(state, train, stop)
            _check_finite(state)
            metrics = {name: float(value[0]) for name, value in metrics.items()}
            lines["train"].append({"step": stop} | metrics)
            params = select_member(state, 0).evaluation_params
            if is_evaluated:
                bounds = validate(params["vae"])
                lines["validation"].append({"step": stop} | bounds)
                elbos.append([bounds["elbo"]])
                waited = best_evaluations(np.array(elbos))[1][0]
                if patience and not waited:
                    best = jax.tree.map(jnp.copy, params)  # the next update takes its memory
            show(stop, _describe(lines))
            if stop_requested() or (patience and elbos and waited >= patience):
                break
    history = {split: _by_name(each) for split, each in lines.items()}
    return params if best is None else best, history


def _check_finite(state):
    step = int(state.failure.step[0])
    if step >= 0:
        raise FloatingPointError(
            f"training diverged at step {step}: lower learning_rate, set clip_norm, or look at the "
            "scale of the data"
        )


def _describe(lines):
    metrics = lines["train"][-1]
    text = "  ".join(
        f"{label} {metrics[name]:.2f}"
        for name, label in (("elbo", "ELBO"), ("kl", "KL"), ("reconstruction", "reconstruction"))
    )
    validation = lines["validation"]
    return f"{text} nats" + (
        f"  validation ELBO {validation[-1]['elbo']:.2f}" if validation else ""
    )


def _by_name(lines):
    names = lines[0] if lines else ()
    return {name: np.array([line[name] for line in lines]) for name in names}


def _make_validate(vae, data):
    """Make validate(params) -> mean ELBO, KL and reconstruction of the validation examples."""
    measure = _make_measure(vae, data, "validation", 1)

    def validate(params):
        return {name: each[0] for name, each in mean_bounds([measure(params)]).items()}

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
