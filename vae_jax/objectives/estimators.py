"""Gradient estimators: which gradients of a bound flow through samples of q(z|x) and how.

An estimator changes gradients only, never the value of a bound. Each is a function of an
`Estimation`, a bound and the samples of one example. It returns the bound, in nats, with the
estimate as its gradient, and the terms.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
from jax import Array
from jax.lax import stop_gradient
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.lookup import look_up
from vae_jax.models.parts import seen_vector
from vae_jax.networks import DenseEncoder, make_layers
from vae_jax.objectives.bounds import importance_weighted_bound
from vae_jax.objectives.terms import Terms, scale_samples


class Estimation(NamedTuple):
    """What an estimator is given of one example."""

    draw: Callable[..., tuple[Terms, Array]]
    """draw(stop=(...), linked=False) -> terms and links of the samples, as of `draw_terms`."""
    bound: Callable[[Terms], Array]
    """The bound B in nats, a function of the terms: where an estimator looks at single samples,
    of the log-weights log w_k."""
    factors: Callable[[Terms], Array] | None = None
    """1 - B_kk / B_k for each sample, with the derivatives of B by log w_k: see
    `doubly_reparameterized`."""
    baseline: Callable[[], Array] | None = None
    """The learned baseline of this example, in nats."""


def pathwise(estimation: Estimation) -> tuple[Array, Terms]:
    """Gradients through the samples and the densities: reparameterization gradients.

    Formula: d B / dphi through z_k = g(eps_k, phi) and through log q(z_k|x)
    Estimates: the gradient of the bound, without bias.
    Source: Kingma & Welling (2014), Section 2.4; Rezende et al. (2014).
    Use: by default; with many samples in a bound the encoder's gradient drowns in noise.
    """
    terms, _ = estimation.draw()
    return estimation.bound(terms), terms


def sticking_the_landing(estimation: Estimation) -> tuple[Array, Terms]:
    """Pathwise, without the score of log q(z|x); biased for more than one sample in a bound.

    Formula: d B / dphi through z_k only; the parameters in log q(z_k|x) get no gradient
    Estimates: the gradient of the ELBO without bias, of an importance-weighted bound of K > 1 with.
    Source: Roeder et al. (2017).
    Use: with the ELBO; no noise is left where q(z|x) is the posterior.
    """
    terms, _ = estimation.draw(stop=("density",))
    return estimation.bound(terms), terms


def doubly_reparameterized(estimation: Estimation) -> tuple[Array, Terms]:
    """Pathwise, with the score of log q(z|x) reparameterized once more: DReG.

    Formula: sum_k (B_k - B_kk) d log w_k / dz_k dz_k / dphi
    Estimates: the gradient of the bound, without bias.
    Source: Tucker et al. (2019).
    Use: with importance-weighted bounds; the encoder's signal-to-noise ratio rises with K.

    B_k = dB / d log w_k, and B_kk is the second derivative: the score's part,
    -sum_k B_k d log q(z_k|x) / dphi, has the expectation of
    -sum_k B_kk d log w_k / dz_k dz_k / dphi. For the importance-weighted bound B_k is the
    normalized weight, and B_k - B_kk its square. The model's gradient is the pathwise one.
    """
    terms, links = estimation.draw(stop=("density",), linked=True)
    scaled = scale_samples(terms, links, estimation.factors(terms))
    return estimation.bound(scaled), terms


def partially_importance_weighted(estimation: Estimation) -> tuple[Array, Terms]:
    """The encoder follows the bound, the model the importance-weighted bound of all samples: PIWAE.

    Formula: encoder d MIWAE(M, K) / dphi, model d IWAE(M K) / dtheta, each pathwise
    Estimates: two gradients of two bounds, and so the gradient of no single bound.
    Source: Rainforth et al. (2018), Section 4.
    Use: with MIWAE, for a model that follows the tightest bound of the same samples.
    """
    terms, _ = estimation.draw(stop=("model",))
    of_model, _ = estimation.draw(stop=("samples", "density"))
    return estimation.bound(terms) + _gradient_of(
        importance_weighted_bound(of_model.log_weights)
    ), terms


def score_function(estimation: Estimation) -> tuple[Array, Terms]:
    """Scores of q(z|x) times the bound less a learned baseline; needs no gradient through z.

    Formula: dB / dphi with z fixed + (B - b(x)) sum_k d log q(z_k|x) / dphi
    Estimates: the gradient of the bound, without bias.
    Source: NVIL, Mnih & Gregor (2014), without its normalization of the variance; Williams (1992).
    Use: for discrete latents and one sample; the baseline b, a network of x that learns to predict
      B by least squares, takes most of the noise away. What is left wants a small learning rate,
      above all with several samples in a bound.
    """
    terms, _ = estimation.draw(stop=("samples",))
    value, baseline = estimation.bound(terms), estimation.baseline()
    signal = stop_gradient(value)
    score = (signal - stop_gradient(baseline)) * jnp.sum(terms.log_posterior)
    return value + _gradient_of(score - 0.5 * (signal - baseline) ** 2), terms


def leave_one_out(estimation: Estimation) -> tuple[Array, Terms]:
    """Scores of q(z_k|x) times what sample k adds to the bound; at least two samples.

    Formula: dB / dphi with z fixed + sum_k (B - B_without k) d log q(z_k|x) / dphi
    Estimates: the gradient of the bound, without bias.
    Source: VIMCO, Mnih & Rezende (2016), for importance-weighted bounds.
    Use: for discrete latents and two samples or more; nothing has to be learned.

    In B_without k the log-weight of sample k is replaced by the mean of the others', that is its
    weight by the geometric mean of theirs.
    """
    terms, _ = estimation.draw(stop=("samples",))
    value = estimation.bound(terms)
    signals = stop_gradient(value - _bounds_without_each(estimation.bound, terms))
    return value + _gradient_of(jnp.sum(signals * terms.log_posterior)), terms


def _bounds_without_each(bound, terms):
    columns = terms[:3]
    others = [(jnp.sum(column) - column) / (len(column) - 1) for column in columns]

    def bound_without(k):
        replaced = (column.at[k].set(mean[k]) for column, mean in zip(columns, others, strict=True))
        return bound(Terms(*replaced, *terms[3:]))

    return jax.lax.map(bound_without, jnp.arange(len(columns[0])), batch_size=64)


def wake_sleep(estimation: Estimation) -> tuple[Array, Terms]:
    """The model follows the bound, the encoder maximises sum_k w_k log q(z_k|x), w normalized.

    Formula: encoder sum_k w_k d log q(z_k|x) / dphi, model dB / dtheta
    Estimates: for the encoder minus the gradient of KL(p(z|x) || q(z|x)), with a bias that vanishes
      as K grows, and not that of the bound; for the model the gradient of the bound.
    Source: the wake-phase updates of reweighted wake-sleep, Bornschein & Bengio (2015).
    Use: for discrete latents and many samples; the encoder covers the whole posterior.
    """
    terms, _ = estimation.draw(stop=("samples",))
    weights = stop_gradient(jax.nn.softmax(terms.log_weights))
    of_model = terms._replace(log_posterior=stop_gradient(terms.log_posterior))
    fit = jnp.sum(weights * terms.log_posterior)
    return estimation.bound(of_model) + _gradient_of(fit), terms


def _gradient_of(value):
    # Zero, with the gradient of the value.
    return value - stop_gradient(value)


class Estimator(NamedTuple):
    """A row of ESTIMATORS."""

    make: Callable[[Estimation], tuple[Array, Terms]]
    is_pathwise: bool = True
    """Whether it needs gradients through the samples, which discrete latents do not have."""
    is_unbiased: bool = True
    """Whether its mean is the gradient of the bound, for every number of samples."""
    least_samples: int = 1
    learns_baseline: bool = False


ESTIMATORS = {
    "pathwise": Estimator(pathwise),
    "sticking_the_landing": Estimator(sticking_the_landing, is_unbiased=False),
    "doubly_reparameterized": Estimator(doubly_reparameterized),
    "piwae": Estimator(partially_importance_weighted, is_unbiased=False),
    "score_function": Estimator(score_function, is_pathwise=False, learns_baseline=True),
    "leave_one_out": Estimator(leave_one_out, is_pathwise=False, least_samples=2),
    "vimco": Estimator(leave_one_out, is_pathwise=False, least_samples=2),
    "wake_sleep": Estimator(wake_sleep, is_pathwise=False, is_unbiased=False),
}


class UnfitEstimatorError(ValueError):
    """An estimator that is known, but not for this objective."""


def check_estimator(estimator: str, fitting: Collection[str], num_samples: int) -> None:
    """Refuse an estimator that an objective does not take.

    Args:
      estimator: its name.
      fitting: names of those that the objective takes.
      num_samples: samples of z per example.

    Raises:
      ValueError: an unknown name, one that is not fitting, or too few samples for it.
    """
    row = look_up(ESTIMATORS, estimator, "estimator")
    if estimator not in fitting:
        raise UnfitEstimatorError(
            f"estimator={estimator!r} is not one of this objective's, which are "
            f"{', '.join(fitting)}"
        )
    if num_samples < row.least_samples and row.least_samples > 1:
        raise ValueError(
            f"estimator={estimator!r} needs num_samples >= {row.least_samples}, got {num_samples}"
        )


# The learned baseline of the score-function estimator.

BASELINE = DenseEncoder(make_layers((100,)), 1)


def init_baseline(key: Key[Array, ""], examples: Any) -> Any:
    """Return the parameters of a dense network from x to the baseline."""
    x = seen_vector(jax.tree.map(lambda leaf: leaf[0], examples.x))
    return BASELINE.init(key, x)["params"]


def apply_baseline(params: Any, x: Any) -> Float[Array, ""]:
    """Return the baseline of one example in nats: the network's output times the values in x.

    The bound is a sum over these values, so that the output is of the order of one.
    """
    vector = seen_vector(x)
    return vector.size * BASELINE.apply({"params": params}, vector)[0]
