"""The one update of a run."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from tests.training import small
from vae_jax import training


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


def test_the_average_of_weights_has_no_bias_of_its_start(dataset, averaging_steps):
    """ema_t = sum_s d^(t-s) p_s / sum_s d^(t-s) over the updates s = 1 .. t, by hand; begun at the
    initial weights, a decay of .9999 leaves 49% of them after 7,200 steps."""
    decay, points = 0.9, []
    state = small.make_state(dataset, ema_decay=decay)
    for stop in (1, 2, 3):
        state, _ = averaging_steps(state, dataset.train, stop)
        points.append(jax.device_get(state.params))
        weights = decay ** np.arange(stop)[::-1] / sum(decay**n for n in range(stop))
        expected = jax.tree.map(lambda *p, w=weights: np.tensordot(w, np.stack(p), 1), *points)
        near = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
        jax.tree.map(near, state.ema, expected)
    assert state.evaluation_params is state.ema
