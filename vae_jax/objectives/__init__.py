"""Bounds on log p(x) for one example, and the objectives that maximise their batch means.

Every bound is a function of the same few terms, takes one example's terms, is in nats, and is
larger when better. log p(x) = ELBO + KL(q(z|x) || p(z|x)), so each is at most log p(x) in
expectation. Training and evaluation call the same functions.
"""

from typing import Any

from vae_jax.lookup import check_options, look_up
from vae_jax.objectives.discrete import ROWS as DISCRETE_ROWS
from vae_jax.objectives.discrete import make_concrete, relaxed_terms
from vae_jax.objectives.elbo import ROWS as ELBO_ROWS
from vae_jax.objectives.elbo import elbo, make_elbo
from vae_jax.objectives.estimators import sample_terms
from vae_jax.objectives.importance import (
    ROWS as IMPORTANCE_ROWS,
)
from vae_jax.objectives.importance import (
    importance_weighted_bound,
    make_iwae,
)
from vae_jax.objectives.objective import (
    Objective,
    check_latents,
    make_bound_objective,
    no_parameters,
    over_batch,
)
from vae_jax.objectives.schedules import LinearWarmup, Temperature
from vae_jax.objectives.semi_supervised import ROWS as SEMI_SUPERVISED_ROWS
from vae_jax.objectives.semi_supervised import (
    average_over_labels,
    check_labels,
    make_semi_supervised,
)
from vae_jax.objectives.terms import Terms, closed_form_kl, kl, reconstruction

__all__ = [
    "OBJECTIVES",
    "LinearWarmup",
    "Objective",
    "Temperature",
    "Terms",
    "average_over_labels",
    "check_labels",
    "check_latents",
    "closed_form_kl",
    "elbo",
    "importance_weighted_bound",
    "kl",
    "make_bound_objective",
    "make_concrete",
    "make_elbo",
    "make_iwae",
    "make_objective",
    "make_semi_supervised",
    "no_parameters",
    "over_batch",
    "reconstruction",
    "relaxed_terms",
    "sample_terms",
]

# {name: a function of the objective's options that makes the Objective}
OBJECTIVES = ELBO_ROWS | IMPORTANCE_ROWS | DISCRETE_ROWS | SEMI_SUPERVISED_ROWS


def make_objective(name: str, **options: Any) -> Objective:
    """Make the objective of that name in OBJECTIVES with the given options.

    Raises:
      ValueError: an unknown name, an option that this objective does not take, or a bad value.
    """
    row = look_up(OBJECTIVES, name, "name")
    check_options(options, [("name", name)], {"name": OBJECTIVES})
    return row(**options)
