"""Codes and factors of examples: what is refused, which are drawn, and codes as integers."""

from collections.abc import Sequence

from jaxtyping import Bool, Int
import numpy as np

from vae_jax.evaluation.disentanglement.fitted import Codes, Factors


def check(codes: np.ndarray, factors: np.ndarray) -> tuple[Codes, Factors]:
    """Return codes as float64 and factors as indices 0, 1, ... of the values that occur.

    Raises:
      ValueError: shapes that do not fit, codes that are not finite, codes that are all constant, or
        a factor of fewer than two values.
    """
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not len(codes):
        raise ValueError(
            f"codes must be (examples, codes) and factors (examples, factors) of the same examples,"
            f" got {codes.shape} and {factors.shape}"
        )
    is_finite = np.isfinite(codes).all(axis=1)
    if not is_finite.all():
        raise ValueError(
            f"codes must be finite: {np.sum(~is_finite)} of {len(codes)} examples have others, "
            f"the first is example {np.argmin(is_finite)}"
        )
    if not varying(codes).any():
        raise ValueError(
            f"all {codes.shape[1]} codes are constant: the encoder ignores x, no score is defined"
        )
    indices = [np.unique(column, return_inverse=True)[1] for column in factors.T]
    for i, column in enumerate(indices):
        if not column.any():
            raise ValueError(f"factor {i} has fewer than two values: leave it out")
    return codes, np.stack(indices, axis=1) if indices else factors.reshape(len(codes), 0)


def choose_factors(
    sizes: dict[str, int], leave_out: Sequence[str] = ()
) -> tuple[list[int], dict[str, str]]:
    """Return the columns of the factors that enter, and {name: why} of those left out.

    A factor of one value has no entropy and is left out by itself, such as the color of dSprites.

    Args:
      sizes: {name: number of values} of all factors, in the order of the columns.
      leave_out: names of those that do not enter.

    Raises:
      ValueError: an unknown name, or fewer than two factors left.
    """
    unknown = [name for name in leave_out if name not in sizes]
    if unknown:
        raise ValueError(f"leave_out={unknown[0]!r} is no factor; known: {', '.join(sizes)}")
    left_out = {name: "one value only" for name, size in sizes.items() if size < 2}
    left_out |= dict.fromkeys(leave_out, "as asked for")
    columns = [i for i, name in enumerate(sizes) if name not in left_out]
    if len(columns) < 2:
        raise ValueError(
            f"the metrics need at least two factors of two values, got {len(columns)} "
            f"(left out: {', '.join(left_out) or 'none'})"
        )
    return columns, left_out


def varying(codes: Codes) -> Bool[np.ndarray, "codes"]:
    """Tell of each code whether it takes more than one value."""
    return np.max(codes, axis=0) > np.min(codes, axis=0)


def check_counts(least_codes: int, least_factors: int, codes: Codes, factors: Factors) -> None:
    """Refuse fewer codes or factors than a metric compares.

    Raises:
      ValueError: with what was given and what is needed.
    """
    for name, least, got in (
        ("codes", least_codes, codes.shape[1]),
        ("factors", least_factors, factors.shape[1]),
    ):
        if got < least:
            raise ValueError(f"this metric compares {name}: it needs at least {least}, got {got}")


def draw(
    rng: np.random.Generator, codes: Codes, factors: Factors, *sizes: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return disjoint random parts of these sizes, as checked (codes, factors) each.

    Raises:
      ValueError: what `check` raises, fewer examples than all sizes together, or a part that lacks
        a value of a factor.
    """
    codes, factors = check(codes, factors)
    if sum(sizes) > len(codes):
        raise ValueError(
            f"too few examples: this metric takes {' + '.join(map(str, sizes))}, got {len(codes)}; "
            f"give more, or lower its options"
        )
    order, stops = rng.permutation(len(codes)), np.cumsum(sizes)
    parts = [order[stop - size : stop] for size, stop in zip(sizes, stops, strict=True)]
    for part in parts:
        _check_values(factors[part], np.max(factors, axis=0) + 1)
    return [(codes[part], factors[part]) for part in parts]


def _check_values(factors, num_values):
    for i, size in enumerate(num_values):
        counts = np.bincount(factors[:, i], minlength=size)
        if counts.min() < 2:
            raise ValueError(
                f"too few examples: value {np.argmin(counts)} of factor {i} has {counts.min()} of "
                f"{len(factors)}, at least 2 are needed"
            )


def to_bins(values: np.ndarray, num_bins: int) -> Factors:
    """Return the bin 0 .. num_bins - 1 of each value of (examples, columns).

    Bins have equal width, from the least to the greatest value of the column.
    """
    values = np.asarray(values, np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    width = np.where(high > low, high - low, 1.0) / num_bins
    return np.minimum((values - low) / width, num_bins - 1).astype(np.int64)


def find_groups(
    factor: Int[np.ndarray, "examples"],
) -> tuple[Int[np.ndarray, "examples"], Int[np.ndarray, "values"], Int[np.ndarray, "values"]]:
    """Return the examples ordered by the value of a factor, and start and length of each value."""
    counts = np.bincount(factor)
    return np.argsort(factor, kind="stable"), np.cumsum(counts) - counts, counts
