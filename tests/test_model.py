"""Batched functions of a trained model, in the units of its data."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.support.linear_gaussian import make_model
from vae_jax import Examples, Model, datasets, make_vae_for
from vae_jax.distributions import Masked

UNIT = 4.0  # the stored value that stands for 1


@pytest.fixture(scope="module")
def linear():
    """A linear VAE set to a linear-Gaussian model, of data stored in another unit; the model."""
    known = make_model()
    x = UNIT * known.sample(0, 300)
    data = datasets.from_arrays(x, maximum=UNIT)
    vae = make_vae_for(
        data, likelihood="gaussian", likelihood_scale=known.noise_scale, latent_dim=2, hidden=()
    )
    params = jax.jit(vae.init)(jax.random.key(0), Examples(np.float32(data.train.x / UNIT)))
    _, covariance = known.posterior(known.bias)
    gain = covariance @ known.weights.T / known.noise_scale**2
    encoder = params["encoder"]["Dense_1"]
    encoder["kernel"] = np.concatenate([gain, 0 * gain]).T.astype(np.float32)
    # The model bounds log-scales by 10 tanh(. / 10).
    log_scale = 10 * np.arctanh(np.log(np.diag(covariance)) / 2 / 10)
    encoder["bias"] = np.concatenate([-gain @ known.bias, log_scale]).astype(np.float32)
    params["decoder"]["Dense_1"]["kernel"] = known.weights.T.astype(np.float32)
    params["likelihood"]["output_bias"] = known.bias.astype(np.float32)
    return known, x, Model(vae, params, data, batch_size=8, chunk_size=7)


def test_codes_and_reconstructions_are_those_in_closed_form(linear):
    """Of 11 examples in batches of 8. Mutants: stored values encoded as they are, rows that fill
    up a batch left in, reconstructions in the units of the model."""
    known, x, model = linear
    means, deviations = model.encode(x[:11], std=True)
    expected = np.stack([known.posterior(each)[0] for each in x[:11] / UNIT])
    np.testing.assert_allclose(means, expected, atol=1e-4)
    covariance = known.posterior(known.bias)[1]
    np.testing.assert_allclose(deviations, np.tile(np.diag(covariance) ** 0.5, (11, 1)), rtol=1e-4)
    decoded = UNIT * (expected @ known.weights.T + known.bias)
    np.testing.assert_allclose(model.reconstruct(x[:11]), decoded, atol=1e-3)
    np.testing.assert_allclose(model.encode(x[2:3]), expected[2:3], atol=1e-4)


def test_bounds_are_log_p(linear):
    """The posterior is exact, so that one sample gives log p(x); the mean over 20 the ELBO."""
    known, x, model = linear
    expected = [known.log_marginal(each) for each in x[:3] / UNIT]
    np.testing.assert_allclose(model.log_likelihood(x[:3], 20), expected, atol=1e-3)
    exact = [known.elbo(each, *known.posterior(each)) for each in x[:3] / UNIT]
    np.testing.assert_allclose(exact, expected, atol=1e-6)
    assert np.all(np.abs(model.elbo(x[:3], 20) - expected) < 2)


def test_a_copy_with_other_parameters_computes_by_them_and_shares_what_is_compiled(linear):
    """As the models of one `fit_members`. Mutants: compiled functions of a copy's own; those of
    another VAE or another size of chunk; the first model's parameters kept, with holes too."""
    _, x, model = linear
    traced = []

    def encode(params, x, y=None):
        traced.append(x)
        return model.vae.encode(params, x, y)

    first = dataclasses.replace(model, vae=model.vae._replace(encode=encode))
    other = dataclasses.replace(first, params=jax.tree.map(lambda leaf: 0.9 * leaf, model.params))
    expected = dataclasses.replace(other, vae=model.vae, _compiled={})
    first.encode(x[:4]), first.bounds(x[:4])
    count = len(traced)
    np.testing.assert_array_equal(other.encode(x[:4]), expected.encode(x[:4]))
    assert not np.array_equal(other.encode(x[:4]), model.encode(x[:4]))
    assert count == len(traced) > 0
    dataclasses.replace(first, chunk_size=3).bounds(x[:4])
    dataclasses.replace(first, vae=model.vae).encode(x[:4])
    assert len(traced) > count
    holes = np.where(np.arange(x.shape[1]) < 1, np.nan, x[:4])
    again = dataclasses.replace(model, params=other.params)
    with pytest.warns(UserWarning, match="whole examples"):
        model.impute(holes)
        np.testing.assert_array_equal(again.impute(holes), expected.impute(holes))


def test_samples_have_the_moments_of_the_data(linear):
    """Four standard errors of 2,000 draws; the first do not depend on their number."""
    known, _, model = linear
    drawn = model.sample(2000, seed=1) / UNIT
    covariance = known.weights @ known.weights.T + known.noise_scale**2 * np.eye(5)
    error = np.sqrt(np.diag(covariance) / 2000)
    assert np.all(np.abs(drawn.mean(axis=0) - known.bias) < 4 * error)
    variances = drawn.var(axis=0)
    assert np.all(np.abs(variances / np.diag(covariance) - 1) < 4 * np.sqrt(2 / 2000))
    np.testing.assert_allclose(model.sample(3, seed=1), UNIT * drawn[:3], rtol=1e-5)
    assert np.any(model.sample(3, seed=2) != UNIT * drawn[:3])


def test_missing_entries_are_filled_in(linear):
    """A model of whole examples. Oracle: the conditional mean. Mutants: observed entries changed,
    the mean in the units of the model."""
    known, x, model = linear
    holes = x[:4].copy()
    holes[:, 1] = np.nan
    with pytest.warns(UserWarning, match="trained on whole examples"):
        filled = model.impute(holes, num_samples=3000)
        draws = model.impute(holes, num_samples=100, draws=2)
    covariance = known.weights @ known.weights.T + known.noise_scale**2 * np.eye(5)
    seen = [0, 2, 3, 4]
    gain = covariance[1, seen] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    expected = UNIT * (known.bias[1] + (x[:4, seen] / UNIT - known.bias[seen]) @ gain)
    np.testing.assert_allclose(filled[:, 1], expected, atol=0.1 * UNIT)
    np.testing.assert_allclose(filled[:, seen], x[:4, seen], rtol=1e-6)
    assert draws.shape == (2, 4, 5) and np.all(draws[0, :, 1] != draws[1, :, 1])
    np.testing.assert_allclose(draws[1][:, seen], x[:4, seen], rtol=1e-6)


# {case: (a call, what the line says)}
REFUSED = {
    "shape": (lambda model, x: model.encode(x[:, :3]), r"shape \(3,\).* \(5,\)"),
    "one example": (lambda model, x: model.encode(x[0]), "shape"),
    "missing": (lambda model, x: model.encode(x * np.nan), "missing values"),
    "y": (lambda model, x: model.sample(2, y=1), "given no y"),
    "none": (lambda model, x: model.sample(0), "num must be >= 1"),
    "samples": (lambda model, x: model.elbo(x, 0), "num_samples must be >= 1"),
    "seed": (lambda model, x: model.sample(1, seed=-1), "seed"),
    "classes": (lambda model, x: model.classify(x), "no classifier"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(linear, case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        call(linear[2], linear[1][:2])
    assert "\n" not in str(caught.value)


def test_a_label_is_given_to_all_or_to_each():
    """Mutants: labels of a batch in another order, a y that is not used."""
    x = np.random.default_rng(0).integers(0, 2, (40, 4)).astype(np.float32)
    data = datasets.from_arrays(x, np.arange(40) % 3)
    vae = make_vae_for(data, latent_dim=1, hidden=(3,), conditional=True)
    params = jax.jit(vae.init)(jax.random.key(1), Examples(data.train.x, data.train.y))
    model = Model(vae, params, data)
    in_turn, last = model.sample(5, means=True), model.sample(5, 2, means=True)
    np.testing.assert_array_equal(in_turn[2], last[2])
    assert np.all(in_turn[:2] != last[:2])
    np.testing.assert_array_equal(model.sample(5, [0, 1, 2, 0, 1], means=True), in_turn)
    with pytest.raises(ValueError, match=r"integers 0 \.\. 2"):
        model.sample(5, 3)
    with pytest.raises(ValueError, match="'y'"):
        model.encode(x[:2])
    assert np.any(model.encode(x[:2], [0, 0]) != model.encode(x[:2], [1, 1]))


def test_a_model_of_holes_takes_them():
    x = np.random.default_rng(0).normal(size=(40, 3))
    x[::2, 0] = np.nan
    data = datasets.from_arrays(np.nan_to_num(x), mask=~np.isnan(x))
    assert isinstance(data.train.x, Masked)
    vae = make_vae_for(data, latent_dim=1, hidden=(3,), likelihood="gaussian")
    params = jax.jit(vae.init)(jax.random.key(1), Examples(jax.tree.map(np.float32, data.train.x)))
    model = Model(vae, params, data)
    filled = model.impute(x[:4], 10)
    assert np.isfinite(filled).all() and model.encode(x[:4]).shape == (4, 1)
    np.testing.assert_allclose(filled[~np.isnan(x[:4])], x[:4][~np.isnan(x[:4])], rtol=1e-6)
