"""A model for its data: the shape, the levels, the likelihood and the condition are theirs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.datasets import expected_examples, from_arrays, load_digits
from vae_jax.distributions import Bernoulli, Binomial, Observed
from vae_jax.models import (
    choose_condition,
    choose_likelihood,
    count_bits_dimensions,
    make_vae_for,
)

RNG = np.random.default_rng(0)
BITS = RNG.integers(0, 2, (50, 4)).astype(np.uint8)
GREY = RNG.uniform(size=(50, 4)).astype(np.float32)
LABELS = np.arange(50) % 3


def decoding(vae, dataset, y=None):
    """Return p(x|z) of a model with the parameters that it starts from."""
    examples = expected_examples(dataset, jax.tree.map(jnp.asarray, dataset.train))
    params = vae.init(jax.random.key(0), examples)
    return vae.decode(params, jnp.zeros(2), y)


def test_digits_have_their_own_likelihood_and_levels():
    """17 levels of a binomial. Mutants: 256 levels, bits."""
    digits = load_digits()
    assert choose_likelihood(digits) == "binomial"
    p = decoding(make_vae_for(digits, latent_dim=2, hidden=(4,)), digits)
    assert isinstance(p, Binomial) and p.num_trials == 16 and p.logits.shape == (8, 8, 1)
    assert count_bits_dimensions(digits, "binomial") == 64


def test_a_given_likelihood_is_taken_or_refused():
    """Mutant: bits asked of grey values."""
    assert choose_likelihood(from_arrays(GREY), "gaussian") == "gaussian"
    with pytest.raises(ValueError, match="'bernoulli' does not fit"):
        choose_likelihood(from_arrays(GREY), "bernoulli")


def test_fields_have_a_likelihood_each():
    """One that is not named has the data's own. Mutants: one field's likelihood for all, an unknown
    field ignored."""
    both = from_arrays({"a": BITS, "b": GREY})
    names = {"a": "bernoulli", "b": "gaussian"}
    assert choose_likelihood(both, names) == names
    assert choose_likelihood(both, {"b": "gaussian"}) == names
    with pytest.raises(ValueError, match="has no likelihood of its own: choose like"):
        choose_likelihood(both, {"a": "bernoulli"})
    with pytest.raises(ValueError, match="must name the fields of the data, a, b; got a, c"):
        choose_likelihood(both, {"a": "bernoulli", "c": "gaussian"})
    assert count_bits_dimensions(both, names) == 0


def test_bits_dimensions_are_the_values_of_discrete_data_that_are_modelled():
    """Mutants: bits per dimension of a density, or of values of which some are missing."""
    assert count_bits_dimensions(from_arrays(BITS), "bernoulli") == 4
    assert count_bits_dimensions(from_arrays(GREY), "gaussian") == 0
    masked = from_arrays(BITS, mask=np.ones_like(BITS))
    assert count_bits_dimensions(masked, "bernoulli") == 0


def test_conditions_are_labels_or_arrays():
    """Mutants: the largest label for the number of classes, a label below zero taken."""
    assert choose_condition(from_arrays(BITS, LABELS)) == 3
    assert choose_condition(from_arrays(BITS, GREY)) == (4,)
    with pytest.raises(ValueError, match="conditional=True needs y"):
        choose_condition(from_arrays(BITS))
    with pytest.raises(ValueError, match=r"must be labels 0, 1, \.\.\., got -1"):
        choose_condition(from_arrays(BITS, LABELS - 1))


def test_condition_and_mask_reach_the_model():
    """Mutants: a model without y, or whose missing entries count."""
    data = from_arrays(BITS, LABELS, mask=np.ones_like(BITS))
    vae = make_vae_for(data, conditional=True, latent_dim=2, hidden=(4,))
    p = decoding(vae, data, y=1)
    assert isinstance(p, Observed) and isinstance(p.base, Bernoulli)
    with pytest.raises(ValueError, match="conditional: it needs y"):
        decoding(vae, data)


def test_an_array_in_place_of_a_data_set_is_refused():
    with pytest.raises(
        ValueError, match=r"make_vae_for needs a data set, such as vae_jax.from_arr"
    ):
        make_vae_for(GREY)
