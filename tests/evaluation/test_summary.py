"""What is reported of measured examples, against numpy in float64."""

import numpy as np
import pytest

from vae_jax.evaluation import leave_out, mean_bounds, summarize


@pytest.fixture
def measured():
    """What two members' 50 examples gave."""
    rng = np.random.default_rng(0)
    names = ("log_likelihood", "elbo", "kl", "reconstruction")
    return [
        {name: rng.normal(size=50).astype(np.float32) for name in names}
        | {"posterior_mean": rng.normal(size=(50, 3)).astype(np.float32) * [1, 0.001, 1]}
        for _ in range(2)
    ]


def test_bounds_are_means_over_examples(measured):
    """Mutants: a mean over members, a name for another, a sign turned."""
    bounds = mean_bounds(measured)
    assert bounds.keys() == {"elbo", "kl", "reconstruction"}
    for name, values in bounds.items():
        expected = [np.mean(np.float64(each[name])) for each in measured]
        np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_summary_names_its_units(measured):
    """Mutants: -log p(x) without its sign, bits per dimension of the ELBO or by another base."""
    summary = summarize(measured, bits_dimensions=4)
    likelihoods = np.float64([each["log_likelihood"] for each in measured])
    np.testing.assert_allclose(summary["nll"], -likelihoods.mean(1))
    errors = likelihoods.std(1, ddof=1) / np.sqrt(50)
    np.testing.assert_allclose(summary["nll_standard_error_over_examples"], errors)
    np.testing.assert_allclose(summary["bits_per_dim"], -likelihoods.mean(1) / 4 / np.log(2))
    assert summary["active_units"] == [2, 2]
    assert "active_units_upper" not in summary


def test_bits_per_dimension_are_left_out_where_they_have_no_meaning(measured):
    """Mutant: a division by zero dimensions."""
    assert "bits_per_dim" not in summarize(measured)


def test_both_layers_have_active_units(measured):
    """Mutant: the lower layer's means counted twice."""
    for each in measured:
        each["posterior_mean_upper"] = each["posterior_mean"][:, 1:2]
    summary = summarize(measured)
    assert (summary["active_units"], summary["active_units_upper"]) == ([2, 2], [0, 0])


def test_failed_members_have_no_number():
    """Mutant: the number of an unfinished run reported."""
    left = leave_out(np.array([False, True]), {"elbo": [-1.0, -2.0]})
    assert left["elbo"][0] == -1.0 and np.isnan(left["elbo"][1])
