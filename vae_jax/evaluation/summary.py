"""What is reported of measured examples: means, standard errors and units, one per member."""

from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float
import numpy as np

from vae_jax.evaluation.estimates import bits_per_dim, estimate
from vae_jax.evaluation.latents import active_units

Measured = Mapping[str, np.ndarray]  # what `make_measure` gives of all examples, for one member


def mean_bounds(measured: Sequence[Measured]) -> dict[str, list[float]]:
    """Return the mean over examples of ELBO, KL and reconstruction, one number per member, in
    nats."""
    names = ("elbo", "kl", "reconstruction")
    return {
        name: [float(np.mean(each[name], dtype=np.float64)) for each in measured] for name in names
    }


def summarize(
    measured: Sequence[Measured],
    bits_dimensions: int = 0,
    latents: str = "real",
    baseline: Float[np.ndarray, "examples"] | None = None,
) -> dict[str, list[float]]:
    """Return the numbers of the final table, one per member: nats unless the name says otherwise.

    Args:
      measured: one for each member.
      bits_dimensions: number of values of x that bits per dimension are over; 0: where log p(x|z)
        is no log-probability, they have no meaning and are left out.
      latents: what z is, as `models.VAE` says.
      baseline: log p(x) without latents, of the same examples, as `baseline_log_probs` returns it:
        then `baseline_nll` is its mean with the sign turned, and `gain` that less `nll`.
    """
    likelihoods = [estimate(each["log_likelihood"], "examples") for each in measured]
    summary = mean_bounds(measured) | {
        "nll": [-each.mean for each in likelihoods],
        "nll_standard_error_over_examples": [each.standard_error for each in likelihoods],
    }
    if bits_dimensions:
        summary["bits_per_dim"] = [
            bits_per_dim(-each.mean, bits_dimensions) for each in likelihoods
        ]
    if baseline is not None:
        without = -float(np.mean(baseline, dtype=np.float64))
        summary["baseline_nll"] = [without] * len(measured)
        summary["gain"] = [without - nll for nll in summary["nll"]]
    for layer in ("", "_upper"):
        if f"posterior_mean{layer}" in measured[0]:
            means = [each[f"posterior_mean{layer}"] for each in measured]
            summary[f"active_units{layer}"] = [active_units(each, latents) for each in means]
    return summary


def leave_out(
    failed: Bool[np.ndarray, "members"], numbers: Mapping[str, Sequence[float]]
) -> dict[str, list[float]]:
    """Return numbers, one per member, with NaN for those members that failed."""
    return {name: list(np.where(failed, np.nan, values)) for name, values in numbers.items()}
