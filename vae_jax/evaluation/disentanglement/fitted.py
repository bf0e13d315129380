"""What a metric gives: scores as functions of held-out units, and their bootstrap errors."""

from collections.abc import Callable
import math
from typing import NamedTuple

import jax
from jax import Array
from jaxtyping import Float, Int, Key
import numpy as np

from vae_jax.evaluation.estimates import Estimate

Codes = Float[np.ndarray, "examples codes"]
Factors = Int[np.ndarray, "examples factors"]
Counts = Int[np.ndarray, "units"]


class Fitted(NamedTuple):
    """A metric whose estimators are fitted: what is left depends on held-out units only."""

    scores: Callable[[Counts], dict[str, float]]
    """scores(counts) -> {name: score} where unit i is counted counts[i] times."""
    num_units: int
    over: str
    """What a unit is: "examples", "held-out examples" or "held-out votes"."""
    of_fit: dict[str, float]
    """Scores of the fit itself, which no held-out unit changes: their error would need new fits."""


def bootstrap(key: Key[Array, ""], fitted: Fitted, num_resamples: int = 200) -> dict[str, Estimate]:
    """Return each score and its standard error over resampled units, without refitting.

    The units are drawn with replacement, as many as there are, `num_resamples` times: Efron (1979).
    Scores of the fit itself have the error NaN, "over fits".

    Args:
      key: of the resamples.
      fitted: what a row of METRICS returned.
      num_resamples: at least 2, or 0: no errors.

    Raises:
      ValueError: a single resample, or less than none.
    """
    if num_resamples < 0 or num_resamples == 1:
        raise ValueError(f"num_resamples must be 0 or at least 2, got {num_resamples}")
    rng, size = generator(key), fitted.num_units
    scores = fitted.scores(np.ones(size, np.int64))
    drawn = [
        fitted.scores(np.bincount(rng.integers(size, size=size), minlength=size))
        for _ in range(num_resamples)
    ]
    of_units = {
        name: Estimate(value, _spread([each[name] for each in drawn]), fitted.over)
        for name, value in scores.items()
    }
    return of_units | {
        name: Estimate(value, math.nan, "fits") for name, value in fitted.of_fit.items()
    }


def _spread(values):
    if not np.all(np.isfinite(values)) or not values:
        return math.nan
    return float(np.std(values, ddof=1))


def generator(key: Key[Array, ""]) -> np.random.Generator:
    """Return numpy's generator that a key seeds: no global state is read or changed."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def seed_of(rng: np.random.Generator) -> int:
    """Draw the integer that seeds one estimator of scikit-learn."""
    return int(rng.integers(2**31))
