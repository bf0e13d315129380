"""Optimizers and learning-rate schedules by name, for a learning rate that may be traced."""

from collections.abc import Callable, Mapping, Sequence
import inspect
import math
from typing import Any

import jax
from jax import Array
import jax.numpy as jnp
import optax

from vae_jax.lookup import look_up

Optimizer = Callable[[Mapping[str, Array]], optax.GradientTransformation]


def scale_by_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Return optax.scale_by_adam with one division a parameter, where that has three.

    Both averages' corrections for their start at zero are moved to the step size and to eps, as
    Kingma & Ba (2015) propose at the end of Section 2:
    m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) = m r / (1 - b1^t) / (sqrt(v) + eps r) with
    r = sqrt(1 - b2^t).
    """

    def update(gradients, state, params=None):
        del params
        count = optax.safe_increment(state.count)
        r = jnp.sqrt(1 - b2**count)
        size = r / (1 - b1**count)
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, gradients)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.nu, gradients)
        updates = jax.tree.map(lambda m, v: size * (m / (jnp.sqrt(v) + eps * r)), m, v)
        return updates, optax.ScaleByAdamState(count, m, v)

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


def adam(
    learning_rate: optax.ScalarOrSchedule, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Return optax.adam, faster; see `scale_by_adam`."""
    return optax.chain(scale_by_adam(b1, b2, eps), optax.scale_by_learning_rate(learning_rate))


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": adam,
    "adamax": optax.adamax,
    "adamw": optax.adamw,
    "lion": optax.lion,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
}


def make_schedule(
    name: str,
    *,
    num_steps: int,
    warmup_steps: int = 0,
    end_factor: float = 0.0,
    boundaries: Sequence[int] = (),
    decay_factor: float = 1.0,
) -> optax.Schedule:
    """Make a function of the global step that multiplies the peak learning rate.

    Args:
      name: "constant"; "cosine", which falls to `end_factor` at `num_steps`; or "piecewise", which
        is multiplied by `decay_factor` at each of `boundaries`.
      num_steps: length of the run.
      warmup_steps: linear growth from 0 over so many steps comes first, under each name.
      end_factor: last value of the cosine.
      boundaries: steps of the piecewise schedule.
      decay_factor: of the piecewise schedule.

    Raises:
      ValueError: an unknown name, or a warm-up that is negative or fills the whole run.
    """
    if not 0 <= warmup_steps < num_steps:
        raise ValueError(
            f"optimizer.warmup_steps must lie in 0 .. {num_steps - 1} (the run has {num_steps} "
            f"steps), got {warmup_steps}"
        )
    schedules = {
        "constant": optax.constant_schedule(1.0),
        "cosine": optax.cosine_decay_schedule(1.0, num_steps - warmup_steps, alpha=end_factor),
        "piecewise": optax.piecewise_constant_schedule(
            1.0, {int(step) - warmup_steps: decay_factor for step in boundaries}
        ),
    }
    after = look_up(schedules, name, "optimizer.schedule")
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
      **options: further arguments of that optax optimizer.

    Raises:
      ValueError: an unknown name or option, or a negative norm.
    """
    make = look_up(OPTIMIZERS, name, "optimizer.name")
    known = inspect.signature(make).parameters
    for option in options:
        look_up(known, option, f"option of optimizer {name!r}")
    if not 0 <= clip_norm < math.inf:
        raise ValueError(f"optimizer.clip_norm must be >= 0 and finite, got {clip_norm}")

    def optimizer(hparams):
        update = make(lambda count: hparams["learning_rate"] * schedule(count), **options)
        if clip_norm:
            update = optax.chain(optax.clip_by_global_norm(clip_norm), update)
        return set_optimal_scales(update)

    return optimizer


def set_optimal_scales(
    optimizer: optax.GradientTransformation, weight: float = 0.05
) -> optax.GradientTransformation:
    """Return `optimizer`, but for parameters named "optimal_log_scale", which need no search.

    The sigma^2 that maximises a Gaussian likelihood is the mean squared error e: Rybkin et al.
    (2021), Section 4. Here it is a running mean over training batches, in which each counts by
    `weight`; evaluation finds it fixed. The gradient of -log p(x|z) by log sigma, per value, is
    g = 1 - e / sigma^2, so that sigma^2 + weight (e - sigma^2) = sigma^2 (1 - weight g).
    """

    def update(gradients, state, params=None, **extra):
        updates, state = optimizer.update(gradients, state, params, **extra)

        def replace(path, ordinary, gradient):
            if jax.tree_util.DictKey("optimal_log_scale") not in path:
                return ordinary
            return 0.5 * jnp.log1p(-weight * gradient)

        return jax.tree_util.tree_map_with_path(replace, updates, gradients), state

    return optax.GradientTransformationExtraArgs(optimizer.init, update)
