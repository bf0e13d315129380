"""The one update of one run."""

from collections.abc import Callable
from typing import Any

import jax
from jax import Array
import optax

from vae_jax.fast.updates import update_after_backward
from vae_jax.training.state import TrainState, run_keys


def make_train_step(
    vae: Any,
    objective: Any,
    optimizer: Callable[[Any], optax.GradientTransformation],
    batches: Any,
    ema_decay: float = 0.0,
) -> Callable[[TrainState, Any], tuple[TrainState, dict[str, Array]]]:
    """Make train_step(state, source) -> (state, metrics), one update of one run.

    Args:
      vae: handed to the objective's loss.
      objective: has `loss(key, vae, params, hparams, batch, step) -> (loss, metrics)`.
      optimizer: function of hparams that returns an optax optimizer of params.
      batches: has `batch(source, key, step) -> batch`.
      ema_decay: decay of the parameters' average, where the state carries one.
    """

    def train_step(state, source):
        key_step = jax.random.fold_in(run_keys(state.key).steps, state.step)
        key_batch, key_loss = jax.random.split(key_step)
        batch = batches.batch(source, key_batch, state.step)

        def loss(params):
            return objective.loss(key_loss, vae, params, state.hparams, batch, state.step)

        gradients, metrics = jax.grad(loss, has_aux=True)(state.params)
        update = update_after_backward(optimizer(state.hparams)).update
        updates, opt_state = update(gradients, state.opt_state, state.params, step=state.step)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema != ():
            # The weight that corrects the bias of the start: the first average is params itself.
            weight = (1 - ema_decay) / (1 - ema_decay ** (state.step + 1))
            ema = optax.incremental_update(params, ema, weight)
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state, ema=ema)
        return state, metrics

    return train_step
