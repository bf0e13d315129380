"""Every legal combination of rows trains, and every illegal one is refused with its remedies."""

import functools
import itertools

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.support.rows import (
    COMBINATIONS,
    KEY,
    PAIR_COVER,
    PAIRS,
    cover,
    fits,
    make_model,
    partner,
)
from vae_jax.lookup import take_options
from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS, VALUES, check_likelihood, make_vae
from vae_jax.models.posteriors import DISCRETE_LATENTS
from vae_jax.objectives import OBJECTIVES, make_objective

ROWS = cover(COMBINATIONS, 1)
ROWS_MEET = [each for each in cover(COMBINATIONS, 2) if each not in ROWS]
OTHERS = [each for each in COMBINATIONS if each not in ROWS + ROWS_MEET]
NUM_STEPS = 10


def objective_of(posterior, **options):
    """Return the objective that trains this posterior."""
    name = "concrete" if POSTERIORS[posterior].values in DISCRETE_LATENTS else "elbo"
    return make_objective(name, num_samples=4, **options)


def train(posterior, prior, likelihood):
    """Return the objective before each of ten Adam steps and after them, at one key."""
    vae, params, data = make_model(posterior, prior, likelihood)
    objective = objective_of(posterior)
    # One vector: Adam by leaves would take half of the time that it takes to compile.
    start, unravel = ravel_pytree(params)
    optimizer = optax.adam(1e-2)

    def loss(vector):
        params = {"vae": unravel(vector), "objective": {}}
        return objective.loss(KEY, vae, params, objective.hparams, data, 0)[0]

    def step(carry, _):
        vector, state = carry
        value, gradient = jax.value_and_grad(loss)(vector)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(vector, updates), state), -value

    def steps(vector):
        return jax.lax.scan(step, (vector, optimizer.init(vector)), length=NUM_STEPS + 1)[1]

    return np.asarray(jax.jit(steps)(start))


def check_trains(posterior, prior, likelihood):
    """Check that the bound is finite and rises."""
    values = train(posterior, prior, likelihood)
    assert np.all(np.isfinite(values))
    assert values[-1] > values[0] + 1e-3


def combinations(candidates):
    """Return the mark that runs a test for these combinations."""
    return pytest.mark.parametrize(("posterior", "prior", "likelihood"), candidates)


@pytest.mark.slow
@combinations(ROWS)
def test_every_row_trains(posterior, prior, likelihood):
    """Mutants: a loss of the wrong sign, a row whose parameters get no gradient."""
    check_trains(posterior, prior, likelihood)


@pytest.mark.slow
@combinations(ROWS_MEET)
def test_every_two_rows_train_together(posterior, prior, likelihood):
    """With the rows above: any two rows of different tables that may meet do."""
    check_trains(posterior, prior, likelihood)


@pytest.mark.slow
@combinations(OTHERS)
def test_every_combination_trains(posterior, prior, likelihood):
    """With those above: the product of the tables."""
    check_trains(posterior, prior, likelihood)


def test_the_combinations_meet():
    """The count of any two rows' meetings, by hand. Mutant: a cover that stops early."""
    chosen = ROWS + ROWS_MEET
    assert {each[:2] for each in chosen} == set(PAIRS)
    assert {each[::2] for each in chosen} == set(itertools.product(POSTERIORS, LIKELIHOODS))
    assert {each[1:] for each in chosen} == set(itertools.product(PRIORS, LIKELIHOODS))
    assert {name for each in ROWS for name in each} == {*POSTERIORS, *PRIORS, *LIKELIHOODS}
    assert len(chosen) + len(OTHERS) == len(COMBINATIONS) == len(PAIRS) * len(LIKELIHOODS)


@pytest.mark.slow
@pytest.mark.parametrize(("posterior", "prior"), [pair for pair in PAIRS if pair not in PAIR_COVER])
def test_every_pair_has_the_shapes_of_a_gradient(posterior, prior):
    """Of the pairs that `test_every_row_trains` leaves out: nothing is computed but shapes.

    Mutant: latents of two shapes.
    """
    vae, params, data = make_model(posterior, prior)
    objective = objective_of(posterior)

    def loss(params):
        params = {"vae": params, "objective": {}}
        return objective.loss(KEY, vae, params, objective.hparams, data, 0)[0]

    shapes = jax.eval_shape(jax.grad(loss), params)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)


# What is refused.

ILLEGAL = [pair for pair in itertools.product(POSTERIORS, PRIORS) if not fits(*pair)]


def refusal(call, *arguments, **options):
    """Return the one line with which a call is refused."""
    with pytest.raises(ValueError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("posterior", "prior"), ILLEGAL)
def test_every_illegal_pair_is_refused(posterior, prior):
    """Mutant: a message that names a prior which does not fit either, or not all that do."""
    message = refusal(make_vae, (4,), posterior=posterior, prior=prior, condition=3)
    assert repr(posterior) in message and repr(prior) in message
    remedies = message.rpartition("prior=")[2].split(" or ")
    assert remedies == [name for name in PRIORS if fits(posterior, name)]


@pytest.mark.parametrize("prior", [name for name, row in PRIORS.items() if row.is_conditional])
def test_conditional_prior_without_a_condition_is_refused(prior):
    assert "conditional=True" in refusal(make_vae, (4,), prior=prior)
    make_vae((4,), prior=prior, condition=3)


@pytest.mark.parametrize(("likelihood", "kind"), list(itertools.product(LIKELIHOODS, VALUES)))
def test_likelihood_takes_its_values_alone(likelihood, kind):
    """Mutant: a remedy that does not fit either."""
    needs = LIKELIHOODS[likelihood].values
    if needs == kind:
        check_likelihood(likelihood, (kind,), "the data")
        return
    message = refusal(check_likelihood, likelihood, (kind,), "the data")
    assert repr(likelihood) in message and "the data" in message and VALUES[needs] in message
    remedies = message.rpartition("likelihood=")[2].split(" or ")
    assert remedies == [name for name, row in LIKELIHOODS.items() if row.values == kind]


def test_unknown_likelihood_is_refused():
    assert "did you mean 'bernoulli'" in refusal(check_likelihood, "bernouli", ("bits",), "data")


# {objective: {posterior: the distribution that it is not defined for}}
FLOWS = {"inverse_autoregressive": "q(z|x) Flow", "coupling": "q(z|x) Flow"}
COUPLED = {"dirichlet": "q(z|x) LogDirichlet", "two_layers": "q(z|x) Chain"}
NOT_GAUSSIAN = {"gamma": "q(z|x) LogGamma", "beta": "q(z|x) LogitBeta"}
NOT_FACTORIZED = {"full_gaussian": "q(z|x) FullGaussian", "gamma": "p(z) Mixture"}
REFUSED = {
    "beta_tcvae": FLOWS | COUPLED | NOT_FACTORIZED,
    "factor_vae": COUPLED,
    "dip_vae": FLOWS | COUPLED | NOT_GAUSSIAN,
    "info_vae": {},
}


def accept_or_name_posteriors(objective, posterior, loss, params):
    """Trace the loss; one that needs a factorized q(z|x) names posteriors that have one."""
    try:
        jax.eval_shape(loss, params)
    except ValueError as error:
        assert f"objective {objective} needs" in str(error) and "posterior=" in str(error)
        assert REFUSED.get(objective, {posterior: ""})[posterior] in str(error)
    else:
        assert posterior not in REFUSED.get(objective, {})


# What a bound needs of a posterior is the same for all bounds: the ELBO stands for them.
WITH_EVERY_POSTERIOR = ("elbo", "concrete", "free_bits", *REFUSED)
OBJECTIVE_PAIRS = [
    (objective, posterior)
    for objective, posterior in itertools.product(OBJECTIVES, POSTERIORS)
    if objective in WITH_EVERY_POSTERIOR or posterior in ("gaussian", "categorical")
]


@functools.cache
def model_of(posterior):
    """Return a small model with this posterior."""
    return make_model(*partner(posterior=posterior))


@pytest.mark.parametrize(("objective", "posterior"), OBJECTIVE_PAIRS)
def test_objective_trains_its_own_kind_of_latents(objective, posterior):
    """Of the latents of every model, as its row tells them, before anything is computed.

    Mutants: discrete samples handed to the ELBO, whose encoder would get no gradient; a model that
    does not tell its latents.
    """
    size = take_options(OBJECTIVES[objective], {"dataset_size": 60})
    made = make_objective(objective, **size)
    vae, params, data = model_of(posterior)
    assert vae.latents == POSTERIORS[posterior].values
    has_no_gradient = posterior in ("categorical", "bernoulli")
    assert vae.is_discrete == has_no_gradient

    def loss(params):
        params = {"vae": params, "objective": made.init(KEY, vae, data)}
        return made.loss(KEY, vae, params, made.hparams, data, 0)

    if made.latents in ("any", "discrete" if has_no_gradient else "continuous"):
        accept_or_name_posteriors(objective, posterior, loss, params)
        return
    message = refusal(loss, params)
    assert vae.latents in message
    assert ("objective concrete" if has_no_gradient else "objective elbo") in message
