"""All that a run carries from step to step, and how it begins."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Key
import optax


class Failure(NamedTuple):
    """When and in which term a run stopped being finite; both are -1 while it is."""

    step: Any
    """The first step with a NaN or an infinity."""
    term: Any
    """Index of the term in the sorted names of the metrics; after the last: the parameters."""


class TrainState(NamedTuple):
    """All that a run carries from step to step.

    When several runs, the members, train in one program, every field but `step` has a leading axis
    over them: a condition on a step of one number is evaluated once for all members.
    """

    step: Any
    """Number of updates done."""
    params: Any
    """{"vae": ..., "objective": ...}."""
    opt_state: Any
    hparams: Any
    """Traced numbers by name: the objective's, and "learning_rate"."""
    ema: Any
    """Exponential moving average of params, or () where it is off."""
    key: Any
    """The run's key: it never changes; every draw folds it with its purpose and step."""
    failure: Any = Failure(-1, -1)
    """A run that fails is frozen as it was at the start of that call, and marked here."""

    @property
    def evaluation_params(self) -> Any:
        """The averaged parameters where they exist, else the last ones."""
        return self.params if self.ema == () else self.ema


class RunKeys(NamedTuple):
    """One key for each purpose that a run draws for."""

    init: Any
    order: Any
    steps: Any


def run_keys(key: Key[Array, ""]) -> RunKeys:
    """Split a run's key by purpose."""
    return RunKeys(*jax.random.split(key, len(RunKeys._fields)))


def init_state(
    key: Key[Array, ""],
    hparams: Mapping[str, Any],
    vae: Any,
    objective: Any,
    optimizer: Callable[[Any], optax.GradientTransformation],
    examples: Any,
    use_ema: bool = False,
) -> TrainState:
    """Initialise one run.

    Args:
      key: the run's key.
      hparams: the objective's traced numbers and the "learning_rate".
      vae: has `init(key, examples)`.
      objective: has `init(key, vae, examples)`.
      optimizer: function of hparams that returns an optax optimizer of params.
      examples: training examples, from which initial biases are set.
      use_ema: carry an average of the parameters.
    """
    key_vae, key_objective = jax.random.split(run_keys(key).init)
    params = {
        "vae": vae.init(key_vae, examples),
        "objective": objective.init(key_objective, vae, examples),
    }
    opt_state = optimizer(hparams).init(params)
    ema = jax.tree.map(jnp.copy, params) if use_ema else ()
    failure = Failure(jnp.int32(-1), jnp.int32(-1))
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, hparams, ema, key, failure)
