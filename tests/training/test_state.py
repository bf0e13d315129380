"""How a run begins."""

import jax
import numpy as np

from tests.training import small
from vae_jax import training


def test_initial_bias_decodes_to_the_data_mean(dataset):
    """Bias: with a zero decoder weight, p(x|z) has the training mean, clipped."""
    state = small.make_state(dataset)
    bias = state.params["vae"]["likelihood"]["output_bias"][0]
    mean = dataset.train.x.mean(0) / 16
    np.testing.assert_allclose(jax.nn.sigmoid(bias), np.clip(mean, 0.001, 0.999), atol=1e-5)


def test_keys_of_a_run_differ_by_purpose():
    """Mutant: one key for two purposes."""
    keys = training.run_keys(jax.random.key(0))
    assert len({bytes(np.asarray(jax.random.key_data(key))) for key in keys}) == len(keys)


def test_averages_are_carried_only_where_they_are_asked_for(dataset):
    """Mutant: an average that shares its arrays with the parameters, which a call donates."""
    assert small.make_state(dataset).ema == ()
    state = small.make_state(dataset, ema_decay=0.9)
    small.assert_trees_equal(state.ema, state.params)
    for average, parameter in zip(*map(jax.tree.leaves, (state.ema, state.params)), strict=True):
        assert average is not parameter
