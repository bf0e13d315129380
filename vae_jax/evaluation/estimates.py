"""Numbers with their standard errors, and their units."""

import math
from typing import NamedTuple

from jaxtyping import Float, Int
import numpy as np


class Estimate(NamedTuple):
    """A mean and its standard error; `over` says over what: "examples", "seeds", "replicates"."""

    mean: float
    standard_error: float
    over: str


def estimate(values: np.ndarray, over: str) -> Estimate:
    """Return the mean of independent values and its standard error (NaN for a single value)."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), float(error), over)


def bits_per_dim(nats: float, num_dimensions: int) -> float:
    """Convert a negative log-likelihood of one example from nats to bits per dimension."""
    return nats / (num_dimensions * math.log(2))


def best_evaluations(
    elbos: Float[np.ndarray, "evaluations members"],
) -> tuple[Int[np.ndarray, "members"], Int[np.ndarray, "members"]]:
    """Return the index of each member's best validation ELBO and how many have come since.

    NaN (of a member that failed) is never the best; among equal ones the first is.
    """
    best = np.argmax(np.where(np.isnan(elbos), -np.inf, elbos), axis=0)
    return best, len(elbos) - 1 - best
