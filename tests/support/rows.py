"""A small VAE of every row of the tables, and data of the kind that each likelihood takes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.datasets import Examples
from vae_jax.lookup import options_of
from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS, TABLES, Field, make_vae

KEY = jax.random.key(0)
NUM_EXAMPLES, NUM_VALUES, NUM_LEVELS, NUM_CLASSES = 8, 6, 5, 3
LATENT_DIM = 2
# Options of rows; each goes to the rows that take it.
SMALL = {
    "hidden": (8,),
    "channels": (2, 4),
    "num_classes": 3,
    "flow_hidden": (8,),
    "upper_dim": 1,
    "upper_hidden": (6,),
    "num_components": 3,
}

_UNIFORM = np.random.default_rng(1).uniform(size=(NUM_EXAMPLES, NUM_VALUES)).astype(np.float32)
# Examples of each kind of values.
DATA = {
    "bits": np.round(_UNIFORM),
    "unit": _UNIFORM,
    "real": 4 * _UNIFORM - 1,
    "levels": np.round(_UNIFORM * (NUM_LEVELS - 1)) / np.float32(NUM_LEVELS - 1),
    "counts": np.round(9 * _UNIFORM**2),
    "one_hot": np.eye(NUM_VALUES, dtype=np.float32)[np.argmax(_UNIFORM, axis=1)],
}


def fits(posterior, prior):
    """Tell whether this prior is over what the posterior is over."""
    return POSTERIORS[posterior].values in PRIORS[prior].values


PAIRS = [pair for pair in itertools.product(POSTERIORS, PRIORS) if fits(*pair)]
COMBINATIONS = [(*pair, likelihood) for pair in PAIRS for likelihood in LIKELIHOODS]


def cover(candidates, strength):
    """Choose candidates greedily, until any `strength` names that can meet do."""

    def meetings(candidate):
        return set(itertools.combinations(enumerate(candidate), strength))

    missing = {candidate: meetings(candidate) for candidate in candidates}
    chosen = []
    while True:
        best = max(missing, key=lambda candidate: len(missing[candidate]))
        if not missing[best]:
            return chosen
        chosen.append(best)
        met = set(missing[best])
        missing = {candidate: left - met for candidate, left in missing.items()}


# Few pairs in which each posterior and each prior stands.
PAIR_COVER = cover(PAIRS, 1)


def partner(posterior=None, prior=None):
    """Return the first of these pairs that has a posterior, or a prior."""
    return next(
        pair for pair in PAIR_COVER if posterior in (None, pair[0]) and prior in (None, pair[1])
    )


def examples_of(likelihood, count=NUM_EXAMPLES):
    """Return examples, with a label each, of which this likelihood is a density."""
    xs = DATA[LIKELIHOODS[likelihood].values][:count]
    return Examples(jnp.asarray(xs), jnp.arange(count) % NUM_CLASSES)


def small_options(network="mlp", posterior="gaussian", prior="standard_normal", **sizes):
    """Return those of the sizes (and of SMALL) that these rows take, as options of `make_vae`."""
    names = {"network": network, "posterior": posterior, "prior": prior}
    rows = [TABLES[argument][name] for argument, name in names.items()]
    taken = {
        name: value
        for name, value in (SMALL | sizes).items()
        if any(name in options_of(row) for row in rows)
    }
    return names | taken


def make_model(posterior, prior, likelihood="gaussian", seed=0, spread=0.3, **options):
    """Return (vae, params, examples): a small VAE whose parameters are all random."""
    data = examples_of(likelihood)
    settings = {"latent_dim": LATENT_DIM, "num_levels": NUM_LEVELS, "condition": NUM_CLASSES}
    settings |= small_options(posterior=posterior, prior=prior) | options
    vae = make_vae(data.x.shape[1:], likelihood=likelihood, **settings)
    return vae, random_params(vae, data, seed, spread), data


def random_params(vae, data, seed=0, spread=0.3):
    """Return parameters drawn from N(0, spread^2): quicker than `init`, and no bias is zero."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(vae.init, KEY, data)
    return jax.tree.map(
        lambda leaf: jnp.asarray(spread * rng.normal(size=leaf.shape), leaf.dtype), shapes
    )


def set_encoder_outputs(params, outputs):
    """Return params of a dense encoder whose outputs are these, whatever x is."""
    *_, last = sorted(params["encoder"])
    head = {"kernel": jnp.zeros_like(params["encoder"][last]["kernel"]), "bias": outputs}
    return params | {"encoder": params["encoder"] | {last: head}}


# Of the tests of likelihoods, whose networks matter little.
TINY = {"latent_dim": 2, "hidden": (4,), "num_levels": NUM_LEVELS}


def make_likelihood(likelihood, **options):
    """Return (vae, examples): a small VAE of this likelihood."""
    data = examples_of(likelihood)
    return make_vae(data.x.shape[1:], likelihood=likelihood, **TINY | options), data


def first_decoding(likelihood, xs, **options):
    """Return p(x|z) where the network's outputs are zero."""
    row = LIKELIHOODS[likelihood]
    field = Field(xs.shape[1:], row.values, row.make(NUM_LEVELS, **options))
    return field.decode(field.init(xs), jnp.zeros(field.output_shape))
