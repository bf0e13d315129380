"""Measuring a trained model: every example once, with noise that is keyed by its index."""

from vae_jax.evaluation.aggregate import CodeDensities, code_densities
from vae_jax.evaluation.annealing import (
    Annealing,
    check_annealing,
    make_annealed,
    make_bidirectional,
)
from vae_jax.evaluation.baseline import baseline_log_probs, describe_gains
from vae_jax.evaluation.classifier import make_accuracy
from vae_jax.evaluation.estimates import Estimate, best_evaluations, bits_per_dim, estimate
from vae_jax.evaluation.examples import map_examples, over_examples
from vae_jax.evaluation.gradient_checks import (
    Comparison,
    compare_gradient_estimators,
    pathwise_gradient,
    score_function_gradient,
)
from vae_jax.evaluation.gradient_statistics import (
    GradientMoments,
    choose_parameters,
    join_groups,
    make_group_moments,
    mean_variance,
    relative_squared_bias,
    signal_to_noise,
    slope_of_signal_to_noise,
)
from vae_jax.evaluation.imputation import (
    make_impute,
    make_imputed_draws,
    make_score,
    values_of,
)
from vae_jax.evaluation.keys import EvaluationKeys, evaluation_keys, sample_keys
from vae_jax.evaluation.latents import (
    active_units,
    is_active,
    kl_of_each_dimension,
    posterior_deviations,
    posterior_means,
    typical_code,
)
from vae_jax.evaluation.log_weights import (
    Spread,
    diagnose,
    importance_weighted_bounds,
    jackknife,
    make_log_weights,
    mean_over_examples,
    over_groups,
    variance_of_bound,
)
from vae_jax.evaluation.measure import draw_in_chunks, make_measure, terms_of_example
from vae_jax.evaluation.pareto import fit_generalized_pareto, largest_reliable_k, pareto_k
from vae_jax.evaluation.summary import leave_out, mean_bounds, summarize
from vae_jax.evaluation.tightness import Search, coordinates_of, family_of, make_tightness

__all__ = [
    "Annealing",
    "CodeDensities",
    "Comparison",
    "Estimate",
    "EvaluationKeys",
    "GradientMoments",
    "Search",
    "Spread",
    "active_units",
    "baseline_log_probs",
    "best_evaluations",
    "bits_per_dim",
    "check_annealing",
    "choose_parameters",
    "code_densities",
    "compare_gradient_estimators",
    "coordinates_of",
    "describe_gains",
    "diagnose",
    "draw_in_chunks",
    "estimate",
    "evaluation_keys",
    "family_of",
    "fit_generalized_pareto",
    "importance_weighted_bounds",
    "is_active",
    "jackknife",
    "join_groups",
    "kl_of_each_dimension",
    "largest_reliable_k",
    "leave_out",
    "make_accuracy",
    "make_annealed",
    "make_bidirectional",
    "make_group_moments",
    "make_impute",
    "make_imputed_draws",
    "make_log_weights",
    "make_measure",
    "make_score",
    "make_tightness",
    "map_examples",
    "mean_bounds",
    "mean_over_examples",
    "mean_variance",
    "over_examples",
    "over_groups",
    "pareto_k",
    "pathwise_gradient",
    "posterior_deviations",
    "posterior_means",
    "relative_squared_bias",
    "sample_keys",
    "score_function_gradient",
    "signal_to_noise",
    "slope_of_signal_to_noise",
    "summarize",
    "terms_of_example",
    "typical_code",
    "values_of",
    "variance_of_bound",
]
