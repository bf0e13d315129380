"""Annealed importance sampling of log p(x), and bidirectional Monte Carlo on simulated data.

Chains of Hamiltonian Monte Carlo lead from a distribution f_0 of z that can be drawn from, p(z) or
q(z|x), to p(x, z) along f_beta(z) = f_0(z)^(1 - beta) p(x, z)^beta. The weight of a chain is
unbiased for p(x): Neal (2001); on decoders: Wu et al. (2017). Written here, of jax alone.
"""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

import jax
from jax import Array
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
from jaxtyping import Float, Key

from vae_jax.evaluation.examples import over_examples
from vae_jax.lookup import check_whole, look_up
from vae_jax.objectives.terms import in_coordinates_of_every_sample

# What z must be: numbers, of which every value is possible in the coordinates of the chains. The
# logarithms of a point of the simplex depend on each other.
LATENTS = ("real", "two layers", "positive", "unit")
STARTS = ("prior", "posterior")
_TARGET_ACCEPTANCE = 0.65  # the best of HMC in many dimensions, Beskos et al. (2013)
_FIRST_STEP_SIZE, _STEPS_BEFORE, _RATE = 0.2, 30, 0.1  # of the pilot run


class Annealing(NamedTuple):
    """How the chains run; none of it changes what their weights are unbiased for."""

    num_chains: int = 8
    """Chains per example, whose weights are averaged."""
    num_temperatures: int = 300
    """Steps from beta = 0 to 1, of one HMC transition each."""
    num_leapfrog: int = 5
    """Leapfrog steps per transition."""
    start: str = "posterior"
    """f_0: "prior", p(z), or "posterior", q(z|x)."""


class Path(NamedTuple):
    """The two ends of the annealing of one example, z as a flat vector."""

    sample: Callable[[Key[Array, ""]], Float[Array, "latent"]]
    """sample(key) -> z ~ f_0."""
    log_densities: Callable[[Float[Array, "latent"]], tuple[Array, Array]]
    """log_densities(z) -> (log f_0(z), log p(x, z)) in nats, in the same coordinates of z."""


class Chains(NamedTuple):
    """What chains leave behind."""

    log_weights: Float[Array, "chains"]
    """Logarithm of each chain's weight, in nats."""
    acceptance: Float[Array, "temperatures"]
    """Mean acceptance probability of the chains, at each temperature."""
    step_sizes: Float[Array, "temperatures"]
    """Of the leapfrog steps."""


def check_annealing(vae: Any, annealing: Annealing) -> None:
    """Refuse a model whose latents HMC cannot move, or settings that are not possible.

    Raises:
      ValueError: with what is possible.
    """
    if vae.latents not in LATENTS:
        raise ValueError(
            f"annealed importance sampling needs latents that are one of {', '.join(LATENTS)}, got "
            f"{vae.latents}: importance sampling alone gives log p(x) of this model"
        )
    look_up(dict.fromkeys(STARTS), annealing.start, "start")
    sizes = {name: getattr(annealing, name) for name in Annealing._fields if name != "start"}
    check_whole(1, 1_000_000, **sizes)


def make_path(vae: Any, params: Any, example: Any, start: str) -> Path:
    """Return the path of one example (x, y), in coordinates in which every number is a z.

    Positive latents are moved as logarithms, those in (0, 1) as logits.
    """
    x, y = example
    ends = {"prior": vae.prior(params, y), "posterior": vae.encode(params, x, y)}
    (first, prior), latent = in_coordinates_of_every_sample(ends[start], ends["prior"])
    shapes = jax.eval_shape(first.sample, jax.random.key(0))
    _, unflatten = ravel_pytree(jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes))

    def log_densities(flat):
        value = unflatten(flat)
        log_likelihood = vae.decode(params, latent(value), y).log_prob(x)
        return first.log_prob(value), log_likelihood + prior.log_prob(value)

    return Path(lambda key: ravel_pytree(first.sample(key))[0], log_densities)


def temperatures(num_temperatures: int) -> Float[Array, "temperatures_and_one"]:
    """Return beta_0 = 0 .. beta_T = 1, dense at both ends: the sigmoidal schedule.

    sigmoid(-4 .. 4), scaled to 0 .. 1, as in the code of Wu et al. (2017).
    """
    raw = jax.nn.sigmoid(jnp.linspace(-4.0, 4.0, num_temperatures + 1))
    return (raw - raw[0]) / (raw[-1] - raw[0])


def hmc(
    key: Key[Array, ""],
    log_density: Callable[[Array], Array],
    z: Float[Array, "latent"],
    step_size: Float[Array, ""],
    num_leapfrog: int,
) -> tuple[Float[Array, "latent"], Float[Array, ""]]:
    """Return the next z of a chain that leaves exp(log_density) invariant, and P(acceptance).

    One trajectory of leapfrog steps from a fresh momentum of N(0, I), corrected by a Metropolis
    step: Section 3 of Neal (2011). It is reversible in z.
    """
    key_momentum, key_accept = jax.random.split(key)
    momentum = jax.random.normal(key_momentum, z.shape, z.dtype)
    value_and_gradient = jax.value_and_grad(log_density)

    def leapfrog(_, state):
        z, momentum, _, gradient = state
        momentum = momentum + 0.5 * step_size * gradient
        z = z + step_size * momentum
        value, gradient = value_and_gradient(z)
        return z, momentum + 0.5 * step_size * gradient, value, gradient

    first = (z, momentum, *value_and_gradient(z))
    last = jax.lax.fori_loop(0, num_leapfrog, leapfrog, first)
    log_ratio = _negative_energy(last) - _negative_energy(first)
    # A trajectory that left the floats is refused.
    acceptance = jnp.exp(jnp.minimum(jnp.nan_to_num(log_ratio, nan=-jnp.inf), 0.0))
    accepted = jax.random.uniform(key_accept, (), z.dtype) < acceptance
    return jnp.where(accepted, last[0], z), acceptance


def _negative_energy(state):
    _, momentum, value, _ = state
    return value - 0.5 * jnp.sum(momentum**2)


def run_chains(
    key: Key[Array, ""],
    path: Path,
    zs: Float[Array, "chains latent"],
    betas: Float[Array, "temperatures_and_one"],
    step_sizes: Float[Array, "temperatures"] | None,
    num_leapfrog: int,
) -> Chains:
    """Run chains from z_0 along betas_0 .. betas_T.

    log w = sum_t [log f_t(z_{t-1}) - log f_{t-1}(z_{t-1})], and after each summand a transition
    that leaves f_t invariant gives z_t: Neal (2001). The order of betas is that of
    the chains: from 0 to 1 with z_0 ~ f_0 the mean weight is p(x) in expectation, from 1 to 0 with
    z_0 ~ p(z|x) it is 1 / p(x).

    Args:
      key: of all transitions.
      path: the two ends.
      zs: z_0 of each chain.
      betas: of the path, from one end to the other.
      step_sizes: at betas_1 .. betas_T; None: they are adapted on the way, which is for a pilot run
        whose weights are not used.
      num_leapfrog: leapfrog steps per transition.
    """

    def step(carry, inputs):
        zs, log_weights, log_step = carry
        key, before, after, given = inputs
        log_start, log_joint = jax.vmap(path.log_densities)(zs)
        log_weights = log_weights + (after - before) * (log_joint - log_start)

        def log_density(z):
            log_start, log_joint = path.log_densities(z)
            return (1 - after) * log_start + after * log_joint

        step_size = jnp.exp(log_step) if step_sizes is None else given
        move = functools.partial(hmc, log_density=log_density, num_leapfrog=num_leapfrog)
        keys = jax.random.split(key, len(zs))
        zs, each = jax.vmap(lambda key, z: move(key, z=z, step_size=step_size))(keys, zs)
        acceptance = jnp.mean(each)
        log_step = log_step + _RATE * (acceptance - _TARGET_ACCEPTANCE)
        return (zs, log_weights, log_step), (acceptance, step_size)

    count = len(betas) - 1
    given = jnp.zeros(count) if step_sizes is None else step_sizes
    inputs = (jax.random.split(key, count), betas[:-1], betas[1:], given)
    first = (zs, jnp.zeros(len(zs)), jnp.log(_FIRST_STEP_SIZE))
    (_, log_weights, _), (acceptance, used) = jax.lax.scan(step, first, inputs)
    return Chains(log_weights, acceptance, used)


def adapt_step_sizes(
    key: Key[Array, ""], path: Path, annealing: Annealing
) -> Float[Array, "temperatures_and_one"]:
    """Return a step size for each of beta_0 .. beta_T from a pilot run of one example.

    Its chains, a quarter of the number, share a step size that grows where more than 65% of the
    proposals are accepted and shrinks where fewer are; it first settles at beta = 0.
    """
    key_start, key_chains = jax.random.split(key)
    num_chains = max(1, annealing.num_chains // 4)
    zs = jax.vmap(path.sample)(jax.random.split(key_start, num_chains))
    betas = jnp.concatenate([jnp.zeros(_STEPS_BEFORE), temperatures(annealing.num_temperatures)])
    pilot = run_chains(key_chains, path, zs, betas, None, annealing.num_leapfrog)
    return pilot.step_sizes[_STEPS_BEFORE - 1 :]


def make_annealed(vae: Any, annealing: Annealing) -> Callable:
    """Make annealed((params, key), indices, examples), jitted: what `anneal` returns, per example.

    Args:
      vae: the functions `encode`, `decode` and `prior`, of continuous latents.
      annealing: how the chains run.

    Raises:
      ValueError: what `check_annealing` raises.
    """
    check_annealing(vae, annealing)

    def annealed(params_and_key, index, example):
        params, key = params_and_key
        path = make_path(vae, params, example, annealing.start)
        return anneal(jax.random.fold_in(key, index), path, annealing)

    return over_examples(annealed)


def anneal(key: Key[Array, ""], path: Path, annealing: Annealing, z: Any = None) -> dict[str, Any]:
    """Return the chains of one example, from f_0 to p(x, z), with step sizes of a pilot run.

    `log_weights`: of each chain, in nats; their importance-weighted bound is a lower bound of
    log p(x) in expectation. `acceptance`: its mean over the transitions. With z, which must be a
    draw of p(z|x), also `reverse_log_weights` of as many chains from it to f_0: minus their bound
    is an upper bound of log p(x) in expectation (Grosse et al., 2015).
    """
    key_pilot, key_start, key_chains, key_back = jax.random.split(key, 4)
    step_sizes = adapt_step_sizes(key_pilot, path, annealing)
    betas = temperatures(annealing.num_temperatures)
    zs = jax.vmap(path.sample)(jax.random.split(key_start, annealing.num_chains))
    run = functools.partial(run_chains, path=path, num_leapfrog=annealing.num_leapfrog)
    forward = run(key_chains, zs=zs, betas=betas, step_sizes=step_sizes[1:])
    chains = {"log_weights": forward.log_weights, "acceptance": jnp.mean(forward.acceptance)}
    if z is None:
        return chains
    zs = jnp.broadcast_to(z, zs.shape)
    back = run(key_back, zs=zs, betas=betas[::-1], step_sizes=step_sizes[-2::-1])
    return chains | {"reverse_log_weights": back.log_weights}


def make_bidirectional(vae: Any, annealing: Annealing) -> Callable:
    """Make bidirectional((params, key), indices, examples), jitted, on data of the model itself.

    For each example, z ~ p(z|y) and x ~ p(x|z, y) are drawn, of which z is a draw of p(z|x, y), and
    `anneal` is run in both directions: log p(x) lies between the two bounds in expectation. Of the
    examples themselves, only y and the mask of missing entries are used.

    Args:
      vae: the functions `encode`, `decode` and `prior`, of continuous latents.
      annealing: how the chains run.

    Raises:
      ValueError: what `check_annealing` raises.
    """
    check_annealing(vae, annealing)

    def bidirectional(params_and_key, index, example):
        params, key = params_and_key
        key_z, key_x, key_chains = jax.random.split(jax.random.fold_in(key, index), 3)
        flat, x = simulate(key_z, key_x, vae, params, example)
        path = make_path(vae, params, (x, example[1]), annealing.start)
        return anneal(key_chains, path, annealing, flat)

    return over_examples(bidirectional)


def simulate(
    key_z: Key[Array, ""], key_x: Key[Array, ""], vae: Any, params: Any, example: Any
) -> tuple[Float[Array, "latent"], Any]:
    """Return z ~ p(z|y) in the chains' coordinates and x ~ p(x|z, y), missing what `example` is."""
    x, y = example
    (prior,), latent = in_coordinates_of_every_sample(vae.prior(params, y))
    value = prior.sample(key_z)
    drawn = vae.decode(params, latent(value), y).sample(key_x)
    if hasattr(x, "mask"):
        drawn = x._replace(values=drawn.values)
    return ravel_pytree(value)[0], drawn
