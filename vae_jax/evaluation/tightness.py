"""How tight the ELBO is: log p(x) - ELBO = KL(q(z|x) || p(z|x)), and where the gap comes from.

The gap is the sum of two (Cremer et al., 2018): the approximation gap, log p(x) less the ELBO of
the best q of the family for this x, and the amortization gap, by which the encoder's q falls short
of that best one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Key
import optax

from vae_jax.distributions import (
    Beta,
    Dirichlet,
    Distribution,
    FullGaussian,
    Gamma,
    Gaussian,
)
from vae_jax.evaluation.examples import over_examples
from vae_jax.evaluation.measure import terms_of_example
from vae_jax.objectives.terms import Terms, draw_terms


class Coordinates(NamedTuple):
    """Coordinates of a family's members in which every number is allowed."""

    to: Callable[[Any], Any]
    """to(q) -> its coordinates, a pytree of arrays."""
    back: Callable[[Any], Any]
    """back(coordinates) -> q."""


class Search(NamedTuple):
    """How the best q of an example is searched: gradient ascent by Adam from the encoder's q."""

    num_steps: int = 300
    num_samples: int = 8
    """Samples of z per step."""
    learning_rate: float = 0.02
    """At first; it falls to 0 by a cosine."""


def _same(q):
    return q


def _log_leaves(q):
    return jax.tree.map(jnp.log, q)


def _exp_leaves(q):
    return jax.tree.map(jnp.exp, q)


def _log_diagonal(q):
    factor = q.scale_tril
    return FullGaussian(q.mean, jnp.tril(factor, -1) + jnp.diag(jnp.log(jnp.diagonal(factor))))


def _exp_diagonal(q):
    factor = q.scale_tril
    return FullGaussian(q.mean, jnp.tril(factor, -1) + jnp.diag(jnp.exp(jnp.diagonal(factor))))


# A diagonal Gaussian is its mean and log-scale. A flow or a second layer is a network that all
# examples share: what its best q for one of them is has no one answer.
_FAMILIES = {
    Gaussian: Coordinates(_same, _same),
    FullGaussian: Coordinates(_log_diagonal, _exp_diagonal),
    Gamma: Coordinates(_log_leaves, _exp_leaves),
    Beta: Coordinates(_log_leaves, _exp_leaves),
    Dirichlet: Coordinates(_log_leaves, _exp_leaves),
}


def coordinates_of(family: type[Distribution]) -> Coordinates:
    """Return coordinates of a family in which gradient ascent can search its best member.

    Raises:
      ValueError: a family that is not made of one array per parameter of q, or a discrete one.
    """
    if family not in _FAMILIES:
        known = ", ".join(each.__name__ for each in _FAMILIES)
        raise ValueError(
            f"the best q(z|x) of an example is searched in the families {known}, not in "
            f"{family.__name__}: the gap of this model is not split"
        )
    return _FAMILIES[family]


def family_of(vae: Any, params: Any, example: Any) -> type[Distribution]:
    """Return the type of q(z|x) of one example (x, y), without computing it."""
    return type(jax.eval_shape(vae.encode, params, *example))


def best_posterior(
    key: Key[Array, ""], vae: Any, params: Any, example: Any, search: Search
) -> Distribution:
    """Return the q of the encoder's family with the largest ELBO that is found for one example.

    Gradients are the pathwise ones of Roeder et al. (2017), without the score: their variance
    vanishes where q is the exact posterior.
    """
    x, y = example
    q = vae.encode(params, x, y)
    coordinates = coordinates_of(type(q))
    schedule = optax.cosine_decay_schedule(search.learning_rate, search.num_steps)
    adam = optax.adam(schedule)
    joined = with_own_posterior(vae, coordinates.back)

    def loss(own, key):
        keys = jax.random.split(key, search.num_samples)
        given = {"vae": params, "q": own}
        terms, _ = draw_terms(keys, joined, given, x, y, stop=("density",))
        return -jnp.mean(terms.log_weights)

    def step(state, key):
        own, moments = state
        updates, moments = adam.update(jax.grad(loss)(own, key), moments)
        return (optax.apply_updates(own, updates), moments), None

    own = coordinates.to(q)
    keys = jax.random.split(key, search.num_steps)
    (own, _), _ = jax.lax.scan(step, (own, adam.init(own)), keys)
    return coordinates.back(own)


def with_own_posterior(vae: Any, back: Callable[[Any], Any] = _same) -> Any:
    """Return the model with q(z|x) = back(params["q"]) for every x; params["vae"] is the rest."""
    return vae._replace(
        encode=lambda params, x, y=None: back(params["q"]),
        decode=lambda params, z, y=None: vae.decode(params["vae"], z, y),
        prior=lambda params, y=None: vae.prior(params["vae"], y),
    )


def make_tightness(vae: Any, search: Search | None, num_samples: int, chunk_size: int) -> Callable:
    """Make tightness((params, key), indices, examples), jitted, in nats per example.

    `elbo` of the encoder's q(z|x), by fresh samples, and `elbo_variance` over the draws of z. With
    a search also `best_elbo` of the best q found, by the same noise, `amortization_gap`, their
    difference, and the variances of both. Given log p(x), the total gap is log p(x) - elbo, and the
    approximation gap log p(x) - best_elbo.

    With a lower bound in expectation for log p(x), the total gap and the amortization gap are lower
    bounds in expectation: a search that ends early makes the latter smaller. The approximation gap
    has errors of both signs.

    Args:
      vae: the functions `encode`, `decode` and `prior`.
      search: of the best q; None: the gap is not split.
      num_samples: samples of z per ELBO.
      chunk_size: samples decoded at once; changes the memory used, not the numbers.
    """
    joined = with_own_posterior(vae)

    def tightness(params_and_key, index, example):
        params, key = params_and_key
        key_search, key_elbo = jax.random.split(jax.random.fold_in(key, index))

        def elbos(q):
            given = {"vae": params, "q": q}
            drawn = (key_elbo, joined, given, index, example, num_samples, chunk_size)
            return elbo_of_each_sample(terms_of_example(*drawn))

        own = elbos(vae.encode(params, *example))
        if search is None:
            return _moments(elbo=own)
        best = elbos(best_posterior(key_search, vae, params, example, search))
        return _moments(elbo=own, best_elbo=best, amortization_gap=best - own)

    return over_examples(tightness)


def elbo_of_each_sample(terms: Terms) -> Array:
    """Return numbers whose mean is the ELBO: log p(x|z_k) - KL where it is known, else log w_k."""
    if terms.closed_form_kl is None:
        return terms.log_weights
    return terms.log_likelihood - terms.closed_form_kl


def _moments(**values):
    count = len(next(iter(values.values())))
    means = {name: jnp.mean(each) for name, each in values.items()}
    variances = {f"{name}_variance": jnp.var(each, ddof=1) / count for name, each in values.items()}
    return means | variances
