"""Training in one call: what it reaches, when it stops, what it refuses."""

import os
import signal

import jax
import numpy as np
import pytest

from tests.support.linear_gaussian import make_model
from vae_jax import datasets, fit, fitting, make_objective, make_vae_for

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


@pytest.mark.slow
def test_it_says_that_training_diverged(vae, data):
    objective = make_objective("elbo", beta=1e38)
    with pytest.raises(FloatingPointError, match=r"diverged at step \d+: lower learning_rate"):
        fit(vae, data, objective, learning_rate=1e38, schedule="constant", silent=True)
