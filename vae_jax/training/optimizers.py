"""Optimizers and learning-rate schedules by name, for a learning rate that may be traced.

A row of OPTIMIZERS is a function of the learning rate (a number, or a function of the step); its
keyword arguments are its options.
"""

from collections.abc import Callable, Mapping
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
import optax

from vae_jax.fast.adam import scale_by_adam
from vae_jax.lookup import check_not_negative, check_options, check_whole, look_up
from vae_jax.training.soap import scale_by_soap

Optimizer = Callable[[Mapping[str, Array]], optax.GradientTransformation]


def adam(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """Adam, Kingma & Ba (2015).

    Args:
      b1: decay of the average of gradients.
      b2: decay of the average of squared gradients.
      eps: added to the root of the latter.
    """
    return optax.chain(scale_by_adam(b1, b2, eps), optax.scale_by_learning_rate(learning_rate))


def adamax(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformation:
    """AdaMax, the variant of Adam with the maximum norm.

    Args:
      b1: decay of the average of gradients.
      b2: decay of the largest gradient.
      eps: added to the latter.
    """
    return optax.adamax(learning_rate, b1, b2, eps)


def adamw(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay.

    Args:
      b1: decay of the average of gradients.
      b2: decay of the average of squared gradients.
      eps: added to the root of the latter.
      weight_decay: fraction of each weight subtracted per unit of the learning rate.
    """
    return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay)


def lion(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 1e-3,
) -> optax.GradientTransformation:
    """Lion: the sign of an average of gradients.

    Args:
      b1: weight of the average in the update.
      b2: decay of the average of gradients.
      weight_decay: fraction of each weight subtracted per unit of the learning rate.
    """
    return optax.lion(learning_rate, b1, b2, weight_decay=weight_decay)


def rmsprop(
    learning_rate: optax.ScalarOrSchedule, *, decay: float = 0.9, eps: float = 1e-8
) -> optax.GradientTransformation:
    """RMSProp.

    Args:
      decay: of the average of squared gradients.
      eps: added to it.
    """
    return optax.rmsprop(learning_rate, decay, eps)


def sgd(
    learning_rate: optax.ScalarOrSchedule, *, momentum: float = 0.0, nesterov: bool = False
) -> optax.GradientTransformation:
    """Stochastic gradient descent.

    Args:
      momentum: decay of the sum of past gradients; 0: none.
      nesterov: Nesterov's form of the momentum.
    """
    return optax.sgd(learning_rate, momentum or None, nesterov)


def soap(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    update_every: int = 10,
    largest_side: int = 512,
) -> optax.GradientTransformation:
    """SOAP, Vyas et al. (2024): Adam in the eigenbasis of Shampoo's preconditioner.

    A step costs more than one of Adam's, the more so the smaller the batch, but far fewer are
    needed: take batches of some 400, and larger rates, such as 1e-2 (benchmarks/README.md).

    Args:
      b1: decay of the average of gradients.
      b2: decay of the averages of squared gradients and of their outer products.
      eps: added to the root of the squared gradients.
      update_every: steps between two updates of the eigenbases.
      largest_side: sides of a weight matrix that are longer are not rotated.
    """
    return optax.chain(
        scale_by_soap(b1, b2, eps, update_every, largest_side),
        optax.scale_by_learning_rate(learning_rate),
    )


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": adam,
    "adamax": adamax,
    "adamw": adamw,
    "lion": lion,
    "rmsprop": rmsprop,
    "sgd": sgd,
    "soap": soap,
}


def constant(num_steps: int, warmup_steps: int) -> optax.Schedule:
    """The peak learning rate throughout."""
    return optax.constant_schedule(1.0)


def cosine(num_steps: int, warmup_steps: int, *, end_factor: float = 1e-3) -> optax.Schedule:
    """Half a cosine, from the peak learning rate to its last value.

    Args:
      end_factor: last value, as a fraction of the peak.
    """
    check_not_negative(end_factor=end_factor)
    return optax.cosine_decay_schedule(1.0, num_steps - warmup_steps, alpha=end_factor)


def piecewise(
    num_steps: int,
    warmup_steps: int,
    *,
    boundaries: tuple[int, ...] = (),
    decay_factor: float = 0.1,
) -> optax.Schedule:
    """Constant pieces.

    Args:
      boundaries: steps of the run at which the learning rate falls.
      decay_factor: by which it is multiplied there.
    """
    check_whole(0, 2**31 - 1, boundaries=boundaries)
    check_not_negative(decay_factor=decay_factor)
    falls = {step - warmup_steps: decay_factor for step in boundaries}
    return optax.piecewise_constant_schedule(1.0, falls)


# A row is a function of the length of the run and of its warm-up, in steps; what it returns begins
# at the end of the warm-up.
SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "piecewise": piecewise,
}


def make_schedule(
    schedule: str = "constant", *, num_steps: int, warmup_steps: int = 0, **options: Any
) -> optax.Schedule:
    """Make a function of the global step that multiplies the peak learning rate.

    Args:
      schedule: a row of SCHEDULES.
      num_steps: length of the run.
      warmup_steps: linear growth from 0 over so many steps comes first, under each name.
      **options: of that row.

    Raises:
      ValueError: an unknown name or option, numbers of steps that are not whole, or a warm-up that
        is negative or fills the whole run.
    """
    check_whole(1, 2**31 - 1, num_steps=num_steps)
    if not 0 <= warmup_steps < num_steps:
        raise ValueError(
            f"warmup_steps must lie in 0 .. {num_steps - 1} (the run has {num_steps} steps), got "
            f"{warmup_steps}"
        )
    row = look_up(SCHEDULES, schedule, "schedule")
    check_options(options, [("schedule", schedule)], {"schedule": SCHEDULES})
    after = row(num_steps, warmup_steps, **options)
    if not warmup_steps:
        return after
    warmup = optax.linear_schedule(0.0, 1.0, warmup_steps)
    return optax.join_schedules([warmup, after], [warmup_steps])


def make_optimizer(
    name: str,
    schedule: optax.Schedule = optax.constant_schedule(1.0),  # noqa: B008 (a pure function)
    *,
    clip_norm: float = 0.0,
    **options: Any,
) -> Optimizer:
    """Make a function of the traced hyper-parameters that returns an optax optimizer.

    Args:
      name: a row of OPTIMIZERS.
      schedule: multiplies hparams["learning_rate"] at each step.
      clip_norm: largest global norm of a gradient; 0 leaves gradients as they are.
      **options: of that row.

    Raises:
      ValueError: an unknown name or option, a negative norm, or an option out of range.
    """
    row = look_up(OPTIMIZERS, name, "name")
    check_options(options, [("name", name)], {"name": OPTIMIZERS})
    check_not_negative(clip_norm=clip_norm, **options)
    check_whole(1, 2**31 - 1, update_every=options.get("update_every", 1))
    check_whole(0, 2**31 - 1, largest_side=options.get("largest_side", 0))
    for option in ("b1", "b2", "decay", "momentum"):
        if options.get(option, 0) >= 1:
            raise ValueError(f"{option} must lie in 0 .. 1, below 1, got {options[option]}")

    def optimizer(hparams):
        update = row(lambda count: hparams["learning_rate"] * schedule(count), **options)
        if clip_norm:
            update = optax.chain(optax.clip_by_global_norm(clip_norm), update)
        return set_optimal_scales(update)

    return optimizer


def join_optimizers(vae: Optimizer, objective: Optimizer) -> Optimizer:
    """Return the optimizer that updates params["vae"] by the one, params["objective"] by the other.

    Each clips the norm of its own gradient. While a state is initialised, an objective without
    parameters of its own is refused by a ValueError.
    """

    def optimizer(hparams):
        parts = {"vae": vae(hparams), "objective": objective(hparams)}
        joined = optax.multi_transform(parts, {part: part for part in parts})

        def init(params):
            if not jax.tree.leaves(params["objective"]):
                raise ValueError(
                    "the objective has no parameters of its own: leave objective_optimizer unset"
                )
            return joined.init(params)

        return optax.GradientTransformationExtraArgs(init, joined.update)

    return optimizer


def set_optimal_scales(
    optimizer: optax.GradientTransformation, weight: float = 0.05
) -> optax.GradientTransformationExtraArgs:
    """Return `optimizer`, but for parameters named "optimal_log_scale", which need no search.

    The sigma^2 that maximises a Gaussian likelihood is the mean squared error e: Rybkin et al.
    (2021), Section 4. Here it is a running mean over training batches, sigma^2 + weight (e -
    sigma^2); evaluation finds it fixed. e is the ratio of the gradients by the parameters "error"
    and "count" beside it (see `distributions.gaussians.TrackedGaussian`), whatever the weight of
    log p(x|z) in the objective; where that is 0, sigma stays. A floor of sigma does not stop the
    running mean, which returns from below it as fast as from anywhere.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def update(gradients, state, params, **extra):
        others = jax.tree.map(_without_tracked, gradients, is_leaf=_is_tracked)
        updates, state = optimizer.update(others, state, params, **extra)

        def replace(gradient, ordinary, param):
            return _track(gradient, param, weight) if _is_tracked(gradient) else ordinary

        return jax.tree.map(replace, gradients, updates, params, is_leaf=_is_tracked), state

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def _is_tracked(node):
    return isinstance(node, Mapping) and "optimal_log_scale" in node


def _without_tracked(gradient):
    return jax.tree.map(jnp.zeros_like, gradient) if _is_tracked(gradient) else gradient


def _track(gradient, param, weight):
    is_absent = gradient["count"] == 0
    error = gradient["error"] / jnp.where(is_absent, 1, gradient["count"])
    log_variance = 2 * param["optimal_log_scale"]
    tracked = jnp.logaddexp(math.log1p(-weight) + log_variance, math.log(weight) + jnp.log(error))
    change = jnp.where(is_absent, 0, 0.5 * (tracked - log_variance))
    return jax.tree.map(jnp.zeros_like, gradient) | {"optimal_log_scale": change}
