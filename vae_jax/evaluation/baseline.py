"""What latents are worth: log p(x) of the best model without them, on the same examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Float
import numpy as np

from vae_jax.evaluation.examples import map_examples, over_examples

COLLAPSED_KL = 0.05  # nats per example: below it, z tells nothing of x


def baseline_log_probs(
    vae: Any, train: Any, examples: Any, batch_size: int
) -> Float[np.ndarray, "examples"] | None:
    """Return log p(x) in nats of each example, of a decoder that ignores z and y.

    It is the product of the marginals of all values, of the same likelihood, fitted to the training
    examples: in closed form, but for the discretized logistic (Adam) and r of the negative binomial
    (golden section). Missing entries are left out of the fit and of log p(x).

    Args:
      vae: whose `marginal` fits.
      train: `datasets.Examples` as `datasets.expected_examples` returns them.
      examples: as the model sees them.
      batch_size: examples at once.

    Returns:
      None where the model has no `marginal`.
    """
    if vae.marginal is None:
        return None
    fitted = jax.jit(vae.marginal)(train.x)
    log_probs = over_examples(lambda p, index, x: p.log_prob(x))
    return map_examples(log_probs, fitted, examples.x, batch_size)


def describe_gains(
    summary: Mapping[str, Sequence[float]], names: Sequence[str], is_conditional: bool
) -> list[str]:
    """Return lines that say what the latents gain, and which members have collapsed.

    Args:
      summary: what `summarize` returned; NaN of members that failed.
      names: of the members.
      is_conditional: whether the model is given y, which the baseline is not.
    """
    lines = []
    gains = np.array(summary.get("gain", ()))
    gains = gains[np.isfinite(gains)]
    if gains.size:
        without = np.nanmean(summary["baseline_nll"])
        ends = " .. ".join(f"{each:.2f}" for each in sorted({gains.min(), gains.max()}))
        given = " and y" if is_conditional else ""
        lines.append(
            f"the latents gain {ends} nats per example: without them{given}, as a product of "
            f"marginals, the best -log p(x) is {without:.2f}"
        )
        if gains.max() <= 0:
            lines[-1] += "; at a gain below 0 that is the better model"
    collapsed = [
        name for name, kl in zip(names, summary["kl"], strict=True) if abs(kl) < COLLAPSED_KL
    ]
    if collapsed:
        of = f" of {', '.join(collapsed)}" if len(names) > 1 else ""
        lines.append(
            f"posterior collapse{of}: KL(q(z|x) || p(z)) is below {COLLAPSED_KL} nats, z tells "
            "nothing of x; a smaller beta, its warm-up or objective.name=free_bits keep it in use"
        )
    return lines
