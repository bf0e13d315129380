"""Bounds on log p(x) for one example, and the objectives that maximise their batch means.

Every bound is a function of the same few terms, takes one example's terms, is in nats, and is
larger when better. log p(x) = ELBO + KL(q(z|x) || p(z|x)), so each is at most log p(x) in
expectation. How its gradient is estimated is chosen apart. Training and evaluation call the same
functions.
"""

from typing import Any

from vae_jax.lookup import check_options, look_up, options_of
from vae_jax.objectives.bounds import (
    combined_bound,
    elbo_by_entropy,
    importance_weighted_bound,
    multiply_importance_weighted_bound,
    renyi_bound,
)
from vae_jax.objectives.discrete import ROWS as DISCRETE_ROWS
from vae_jax.objectives.discrete import make_concrete, relaxed_terms
from vae_jax.objectives.disentangling import ROWS as DISENTANGLING_ROWS

# The function `elbo` comes with its module, whose name it replaces here.
from vae_jax.objectives.elbo import ROWS as ELBO_ROWS
from vae_jax.objectives.elbo import elbo, make_capacity, make_elbo, make_free_bits
from vae_jax.objectives.estimators import ESTIMATORS, UnfitEstimatorError
from vae_jax.objectives.importance import (
    ROWS as IMPORTANCE_ROWS,
)
from vae_jax.objectives.importance import make_ciwae, make_iwae, make_miwae, make_renyi
from vae_jax.objectives.matching import ROWS as MATCHING_ROWS
from vae_jax.objectives.objective import (
    Objective,
    check_batch_size,
    check_latents,
    make_batch_objective,
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
from vae_jax.objectives.terms import Terms, closed_form_kl, kl, reconstruction, sample_terms

__all__ = [
    "ESTIMATORS",
    "OBJECTIVES",
    "LinearWarmup",
    "Objective",
    "Temperature",
    "Terms",
    "average_over_labels",
    "check_batch_size",
    "check_labels",
    "check_latents",
    "closed_form_kl",
    "combined_bound",
    "elbo",
    "elbo_by_entropy",
    "importance_weighted_bound",
    "kl",
    "make_batch_objective",
    "make_bound_objective",
    "make_capacity",
    "make_ciwae",
    "make_concrete",
    "make_elbo",
    "make_free_bits",
    "make_iwae",
    "make_miwae",
    "make_objective",
    "make_renyi",
    "make_semi_supervised",
    "multiply_importance_weighted_bound",
    "no_parameters",
    "objectives_with",
    "over_batch",
    "reconstruction",
    "relaxed_terms",
    "renyi_bound",
    "sample_terms",
]

# {name: a function of the objective's options that makes the Objective}
OBJECTIVES = (
    ELBO_ROWS
    | IMPORTANCE_ROWS
    | DISCRETE_ROWS
    | DISENTANGLING_ROWS
    | MATCHING_ROWS
    | SEMI_SUPERVISED_ROWS
)


def make_objective(name: Any, **options: Any) -> Objective:
    """Make the objective of that name in OBJECTIVES with the given options.

    Raises:
      ValueError: an unknown name, an option that this objective does not take, or a bad value.
    """
    row = look_up(OBJECTIVES, name, "name")
    check_options(options, [("name", name)], {"name": OBJECTIVES})
    try:
        return row(**options)
    except UnfitEstimatorError as error:
        takers = ", ".join(objectives_with(options["estimator"]))
        raise ValueError(f"{error}; objectives that take it: {takers}") from None


def objectives_with(estimator: str) -> list[str]:
    """Return the names of the objectives that take this estimator."""
    return [name for name, row in OBJECTIVES.items() if _takes(row, estimator)]


def _takes(row, estimator):
    if "estimator" not in options_of(row):
        return False
    try:
        row(estimator=estimator, num_samples=2)
    except UnfitEstimatorError:
        return False
    return True
