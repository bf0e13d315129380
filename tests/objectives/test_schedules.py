"""Numbers that change with the step, against their formulas."""

import jax
import numpy as np
import pytest

from vae_jax.objectives import (
    LinearWarmup,
    Temperature,
)

STEPS = np.array([0, 1, 10, 99, 100, 101, 10_000])


def test_linear_warmup_is_its_formula():
    """Oracle: min(1, step / 100) by numpy. Mutants: (step + 1) / 100, no end, an end at 0."""
    weights = jax.jit(jax.vmap(LinearWarmup(100)))(STEPS)
    np.testing.assert_allclose(weights, np.minimum(1, STEPS / 100), 1e-6)


def test_cycles_begin_anew():
    """Oracle: min(1, (step mod 100) / 40) by numpy. Mutants: a single warm-up, a cycle that is
    counted from the end of the warm-up, a triangle that falls again."""
    weights = jax.jit(jax.vmap(LinearWarmup(40, 100)))(STEPS)
    np.testing.assert_allclose(weights, np.minimum(1, STEPS % 100 / 40), 1e-6)
    assert weights[0] == weights[4] == 0 and weights[3] == 1
    weights = jax.jit(jax.vmap(LinearWarmup(40, 10**12)))(STEPS)  # more steps than an int32 holds
    np.testing.assert_allclose(weights, np.minimum(1, STEPS / 40), 1e-6)


def test_no_warmup_is_one_throughout():
    """Mutant: a division by zero steps."""
    assert all(LinearWarmup(0)(step) == 1 for step in STEPS)


@pytest.mark.parametrize("start", [2.0, 0.5])
def test_temperature_is_its_formula(start):
    """Oracle: max(0.4, start exp(-0.01 step)) by numpy. Mutants: a decay per epoch, a power of two,
    a minimum that is added."""
    values = jax.jit(jax.vmap(Temperature(0.4, 0.01), (None, 0)))(start, STEPS)
    np.testing.assert_allclose(values, np.maximum(0.4, start * np.exp(-0.01 * STEPS)), 1e-5)


def test_a_start_below_the_minimum_stays():
    """Mutant: a minimum that raises the temperature of a member of a sweep."""
    values = jax.jit(jax.vmap(Temperature(0.4, 0.01), (None, 0)))(0.1, STEPS)
    np.testing.assert_allclose(values, 0.1, 1e-6)
