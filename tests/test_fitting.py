"""Training in one call: what it reaches, when it stops, what it refuses."""

import os
import signal

import jax
import numpy as np
import pytest

from tests.support.linear_gaussian import make_model
from vae_jax import datasets, fit, fit_members, fitting, make_objective, make_vae_for

KNOWN = make_model()


@pytest.fixture(scope="module")
def data():
    return datasets.from_arrays(KNOWN.sample(0, 500))


@pytest.fixture(scope="module")
def vae(data):
    return make_vae_for(data, latent_dim=2, hidden=(), likelihood="gaussian_learned_scale")


@pytest.mark.slow
def test_it_reaches_the_likelihood_of_the_data(vae, data):
    """A linear VAE of linear-Gaussian data: log p(x) of the test examples within 0.2 nats of that
    under the model that they come from. Mutants: the validation examples measured, no updates."""
    fitted = fit(vae, data, num_epochs=60, batch_size=50, learning_rate=2e-2, silent=True)
    expected = np.mean([KNOWN.log_marginal(x) for x in data.test.x])
    assert abs(fitted.numbers["nll"] + expected) < 0.2
    scores = fitted.model.log_likelihood(data.test.x)
    assert abs(scores.mean() + fitted.numbers["nll"]) < 1e-4
    assert fitted.numbers["step"] == 480 == fitted.history["train"]["step"][-1]
    validation = fitted.history["validation"]
    assert validation["elbo"].shape == (20,) and validation["step"][0] == 24
    assert validation["elbo"][-1] > validation["elbo"][0] + 0.5
    assert jax.tree.structure(fitted.params) == jax.tree.structure(fitted.model.params)


@pytest.mark.slow
def test_patience_gives_back_the_best(vae, data, capsys):
    """A learning rate that makes things worse: the first evaluation is the best. Mutant: the last
    parameters."""
    often = {"num_epochs": 30, "eval_every_epochs": 1, "patience": 2, "num_samples": 5}
    told = fit(vae, data, learning_rate=2.0, schedule="constant", **often)
    elbos = told.history["validation"]["elbo"]
    assert len(elbos) == np.argmax(elbos) + 3 < 30
    measured = told.model.elbo(data.validation.x, 200).mean()
    assert abs(measured - elbos.max()) < abs(measured - elbos[-1])
    assert "test ELBO (nats)" in capsys.readouterr().out


def test_ctrl_c_ends_with_what_was_reached(vae, data, monkeypatch):
    """Mutant: an interrupt that is raised, all being lost."""
    plan = fitting._plan_stops

    def interrupt(*arguments):
        for i, each in enumerate(plan(*arguments)):
            if i == 1:
                os.kill(os.getpid(), signal.SIGINT)
            yield each

    monkeypatch.setattr(fitting, "_plan_stops", interrupt)
    before = signal.getsignal(signal.SIGINT)
    fitted = fit(vae, data, num_epochs=10, eval_every_epochs=1, num_samples=5, silent=True)
    assert list(fitted.history["train"]["step"]) == [4, 8]
    assert fitted.model.encode(data.test.x[:2]).shape == (2, 2)
    assert signal.getsignal(signal.SIGINT) == before


# {what is given: what the line says}
REFUSED = {
    "batch_size": (1000, r"1 \.\. 400"),
    "num_epochs": (0, "num_epochs must be >= 1"),
    "learning_rate": (0.0, "learning_rate must be above 0"),
    "objective": ("elbow", "objective='elbow' is unknown.*'elbo'"),
    "optimizer": ("adamm", "adam"),
    "schedule": ("cosin", "cosine"),
    "patience": (-1, "patience must be >= 0"),
    "seed": (-1, "seed must be >= 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_computed(vae, data, name):
    value, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        fit(vae, data, **{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sweep": {"betta": [1]}}, "sweep='betta' is unknown.*'beta'"),
        ({"sweep": {"beta": [-1.0]}}, "beta must be >= 0"),
        ({"sweep": {"beta": []}}, "beta must be >= 0"),
        ({"num_seeds": 0}, "num_seeds must be >= 1"),
        ({"num_epoch": 3}, "option='num_epoch' is unknown.*'num_epochs'"),
    ],
)
def test_members_that_cannot_be_are_refused(vae, data, given, message):
    with pytest.raises(ValueError, match=message):
        fit_members(vae, data, **given)


@pytest.mark.slow
def test_members_are_the_models_that_train_alone(vae, data, capsys):
    """Oracle: `fit` of each beta and seed, of which one stops early. Mutants: seeds that vary
    slowest, members that share a key, the curves of another member, one that stops for all."""
    often = {"num_epochs": 12, "eval_every_epochs": 1, "patience": 2, "num_samples": 20}
    often |= {"learning_rate": 5e-2, "schedule": "constant", "silent": True}
    together = fit_members(vae, data, sweep={"beta": [1, 4]}, num_seeds=2, seed=3, **often)
    alone = [
        fit(vae, data, make_objective("elbo", beta=beta), seed=seed, **often)
        for beta in (1.0, 4.0)
        for seed in (3, 4)
    ]
    for ours, theirs in zip(together, alone, strict=True):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, 1e-3, 1e-3),
            *(each.params for each in (ours, theirs)),
        )
        assert abs(ours.numbers["nll"] - theirs.numbers["nll"]) < 0.01
        curve, other = ours.history["validation"]["elbo"], theirs.history["validation"]["elbo"]
        np.testing.assert_allclose(curve[: len(other)], other, 1e-3)
    assert together[2].model.metadata["member"] == "beta=4, seed=3"
    assert len({len(each.history["validation"]["elbo"]) for each in alone}) > 1


@pytest.mark.slow
def test_it_says_that_training_diverged(vae, data):
    objective = make_objective("elbo", beta=1e38)
    with pytest.raises(FloatingPointError, match=r"diverged at step \d+: lower learning_rate"):
        fit(vae, data, objective, learning_rate=1e38, schedule="constant", silent=True)
