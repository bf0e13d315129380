"""Columns of a table: their kinds, inferred or said, and their cells as numbers."""

from collections.abc import Iterable, Mapping, Sequence
import datetime
from numbers import Real
import re
from typing import Any, NamedTuple

import numpy as np

from vae_jax.datasets.data import Column
from vae_jax.lookup import look_up

MOST_CATEGORIES = 1000
_MOST_COUNTED = 1000  # larger integers are taken for measurements
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")


class Kind(NamedTuple):
    """What the columns of a kind are, and how a model takes them."""

    values: str
    """A key of `models.VALUES`."""
    likelihood: str
    """A row of `models.LIKELIHOODS`."""
    is_standardized: bool = False
    is_log: bool = False
    """Whether it is the logarithm that is standardized."""


# The columns of a kind are the field of that name.
KINDS = {
    "real": Kind("real", "gaussian_scale_per_column", is_standardized=True),
    "positive": Kind("real", "gaussian_scale_per_column", is_standardized=True, is_log=True),
    "bit": Kind("bits", "bernoulli"),
    "count": Kind("counts", "negative_binomial"),
    "category": Kind("one_hot", "one_hot"),
}
DROP = "drop"


def parse_columns(text: str | Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return {column: kind} of "age=real,city=category", or of such a dictionary.

    Raises:
      ValueError: not of that form, an unknown kind, or a column that the table does not have.
    """
    if isinstance(text, Mapping):
        said = dict(text)
    else:
        pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
        said = {name.strip(): kind.strip() for name, _, kind in pairs}
        if len(said) < len(pairs) or not all(said):
            raise ValueError(f"columns={text!r} must name each once, as age=real,city=category")
    for name, kind in said.items():
        look_up(dict.fromkeys(names), name, "columns: the column")
        look_up(dict.fromkeys([*KINDS, DROP]), kind, f"columns: the kind of {name!r}")
    return said


def describe_column(name: str, cells: np.ndarray, kind: str = "") -> Column:
    """Return what a column is, inferred where its kind is "".

    Inferred are bits of False and True or of 0 and 1; categories of text; counts of integers 0 ..
    1,000; and of other numbers, whether a log-normal or a Gaussian has the higher likelihood.

    Raises:
      ValueError: what no kind can be, or not the kind that was said, with the remedy.
    """
    if kind == DROP:
        return Column(name, DROP)
    observed = cells[~is_missing(cells)]
    if not len(observed):
        raise ValueError(f"has no value: all {len(cells)} are missing")
    values = sorted(set(observed.tolist()), key=_sorting)
    if len(values) == 1:
        raise ValueError(f"has only one value, {_show(values[0])}")
    if observed.dtype.kind in "mM" or all(map(_is_date, values[:100])):
        raise ValueError(f"holds dates such as {_show(values[0])}: give them as numbers")
    numeric = as_numbers(observed)
    if not kind:
        kind = _infer(values, numeric)
    if kind == "category" or (kind == "bit" and not _are_bits(values)):
        most = 2 if kind == "bit" else MOST_CATEGORIES
        if len(values) > most:
            raise ValueError(f"has {len(values):,} different values, more than {most:,}")
        return Column(name, kind, tuple(map(_native, values)))
    _check_numbers(kind, values, numeric)
    return Column(name, kind)


def _infer(values, numeric):
    if _are_bits(values):
        return "bit"
    if numeric is None:
        _check_not_mixed(values)
        return "category"
    low, high = numeric.min(), numeric.max()
    if not np.isfinite([low, high]).all():
        raise ValueError("has infinite values")
    if low >= 0 and high <= _MOST_COUNTED and np.all(numeric == np.round(numeric)):
        return "count"
    if low <= 0:
        return "real"
    # Mean log-densities at the maximum of the likelihood, but for what both have.
    logs = np.log(numeric)
    return "positive" if np.log(logs.std()) + logs.mean() < np.log(numeric.std()) else "real"


def _check_numbers(kind, values, numeric):
    if numeric is None:
        text = next(each for each in values if not _is_number(each))
        raise ValueError(f"holds {_show(text)}, which is no number, as {kind} needs")
    if not np.isfinite(numeric).all():
        raise ValueError("has infinite values")
    if kind == "positive" and numeric.min() <= 0:
        raise ValueError(f"has values down to {numeric.min():g}, but positive ones are above 0")
    if kind == "count" and (numeric.min() < 0 or np.any(numeric != np.round(numeric))):
        raise ValueError("has values that are no integers >= 0, as counts are")


def _check_not_mixed(values):
    numbers = [each for each in values if _is_number(each)]
    if numbers:
        text = next(each for each in values if not _is_number(each))
        raise ValueError(f"mixes numbers and text, such as {_show(numbers[0])} and {_show(text)}")


def is_missing(cells: np.ndarray) -> np.ndarray:
    """Tell of each cell whether it is None, NaN or not a time."""
    if cells.dtype == object:
        return np.array([each is None or each != each for each in cells], bool)
    if cells.dtype.kind in "fmM":
        return np.isnan(cells)
    return np.zeros(len(cells), bool)


def as_numbers(cells: Iterable[Any]) -> np.ndarray | None:
    """Return cells without missing ones as float64; None if some are no numbers."""
    cells = np.asarray(cells)
    if cells.dtype.kind in "mM":
        return None
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError):
        return None


def _is_number(value):
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def encode_cells(column: Column, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a column's cells as numbers, (rows, 1) or (rows, categories), and which are observed.

    Raises:
      ValueError: a value that the column cannot have, saying which ones it can.
    """
    observed = ~is_missing(cells)
    present = cells[observed]
    if column.categories:
        codes = _codes(column.categories, present)
        width = len(column.categories) if column.kind == "category" else 1
        numbers = codes[:, None] == np.arange(width) if width > 1 else codes[:, None]
    else:
        numbers = as_numbers(present)
        values = sorted(set(present.tolist()), key=_sorting)[:1] if numbers is None else ()
        if len(present):
            _check_numbers(column.kind, values or present.tolist(), numbers)
        if column.kind == "bit" and not _are_bits(present.tolist()):
            raise ValueError("has values other than 0 and 1")
        numbers = numbers.reshape(-1, 1)
    is_small = column.kind in ("bit", "category")
    encoded = np.zeros((len(cells), numbers.shape[1]), np.uint8 if is_small else np.float64)
    encoded[observed] = numbers
    return encoded, np.broadcast_to(observed[:, None], encoded.shape)


def _codes(categories, cells):
    code_of = {_key(each): code for code, each in enumerate(categories)}
    unseen = [each for each in dict.fromkeys(cells.tolist()) if _key(each) not in code_of]
    if unseen:
        known = ", ".join(map(_show, categories[:10])) + (", ..." if len(categories) > 10 else "")
        raise ValueError(f"has a category never seen, {_show(unseen[0])}; known: {known}")
    return np.array([code_of[_key(each)] for each in cells.tolist()], int)


def decode_cells(column: Column, values: np.ndarray) -> np.ndarray:
    """Return a column's cells of numbers in its units, of categories the most probable one.

    Those of missing numbers (NaN) are NaN, or None.
    """
    if not column.categories:
        return values[:, 0]
    codes = values[:, 0] > 0.5 if column.kind == "bit" else np.argmax(values, axis=-1)
    cells = np.empty(len(values), object)
    cells[:] = [column.categories[int(code)] for code in codes]
    cells[np.isnan(values[:, 0])] = None
    return cells


def width_of(column: Column) -> int:
    """Return how many numbers of its field a column takes."""
    return len(column.categories) if column.kind == "category" else 1


def _are_bits(values):
    return all(isinstance(each, Real) and each in (0, 1) for each in values)


def _is_date(value):
    return isinstance(value, datetime.date) or (isinstance(value, str) and _DATE.match(value))


def _native(value):
    # What JSON can hold. 1 and 1.0 are one category: integers with holes are read as floats.
    if isinstance(value, Real) and not isinstance(value, bool):
        return int(value) if float(value).is_integer() else float(value)
    return value if isinstance(value, bool) else str(value)


def _key(value):
    return str(_native(value))


def _sorting(value):
    return (0, value, "") if isinstance(value, Real) else (1, 0, str(value))


def _show(value):
    text = repr(value)
    return text if len(text) <= 30 else text[:27] + "..."
