"""The one update of a run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests.training import small
from vae_jax import training


def test_moving_average_of_parameters(dataset, averaging_steps):
    """ema_k = d ema_{k-1} + (1 - d) params_k, from the initial parameters; it is what is measured.

    A mutant with d and 1 - d exchanged is 0.8 of a step away.
    """
    state = small.make_state(dataset, ema_decay=0.9)
    expected = jax.device_get(state.params)
    for stop in range(1, 4):
        state, _ = averaging_steps(state, dataset.train, stop)
        step = jax.device_get(state.params)
        expected = jax.tree.map(lambda e, p: 0.9 * e + 0.1 * p, expected, step)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4), state.ema, expected)
    assert state.evaluation_params is state.ema


def test_an_update_descends_the_loss_of_its_batch(dataset):
    """Oracle: params - rate * grad(loss), by jax.grad of the objective on the same batch and key,
    for plain gradient descent. Mutants: the gradient's sign, another step's batch or key."""
    vae, objective, batches = small.make_parts(dataset)
    optimizer = training.make_optimizer("sgd")
    state = small.make_state(dataset, optimizer=optimizer)
    state = training.select_member(state, 0)._replace(step=jnp.int32(3))
    train = jax.device_put(dataset.train)
    source = batches.begin_epoch(train, training.run_keys(state.key).order, 0)
    step = jax.jit(training.make_train_step(vae, objective, optimizer, batches))
    after, metrics = step(state, source)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradient(params):
        key_batch, key_loss = jax.random.split(
            jax.random.fold_in(training.run_keys(state.key).steps, 3)
        )
        batch = batches.batch(source, key_batch, 3)
        return objective.loss(key_loss, vae, params, state.hparams, batch, 3)

    gradients, expected_metrics = gradient(state.params)
    expected = jax.tree.map(lambda p, g: p - 1e-2 * g, state.params, gradients)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(close, after.params, expected)
    jax.tree.map(close, metrics, expected_metrics)
    assert after.step == 4
