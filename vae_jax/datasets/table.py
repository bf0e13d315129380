"""Tables with named columns of mixed kinds: reading them, and to and from fields of numbers."""

from collections.abc import Mapping, Sequence
import csv
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.datasets.columns import (
    DROP,
    KINDS,
    decode_cells,
    describe_column,
    encode_cells,
    is_missing,
    parse_columns,
    width_of,
)
from vae_jax.datasets.data import Column, Dataset, Examples, Values
from vae_jax.datasets.making import (
    SPLITS,
    observed_values,
    split_as_said,
    split_examples,
    standardize,
)
from vae_jax.datasets.npz_arrays import check_condition
from vae_jax.distributions import Masked

TABLES = (".csv", ".tsv", ".parquet")  # what `read_table` reads
_SKLEARN = ("breast_cancer", "diabetes", "iris", "wine")
_SPLIT = "split"
_MOST_NAMED = 5  # columns in an error


def read_table(path: str) -> Any:
    """Return a DataFrame: of a CSV, a TSV or a parquet file, or sklearn://NAME.

    In a CSV the first line names the columns, which commas, semicolons or tabs separate. A first
    column without a name is the index.

    Raises:
      ValueError: no pandas, no such file or table, or one that cannot be read.
    """
    pandas = import_pandas()
    source, _, name = path.partition("://")
    if source == "sklearn":
        return _read_sklearn(name)
    if not path.endswith(TABLES):
        raise ValueError(f"{path!r} must end in {', '.join(TABLES)}, or be sklearn://NAME")
    if not Path(path).is_file():
        raise ValueError(f"cannot read {path!r}: there is no such file")
    try:
        if path.endswith(".parquet"):
            return pandas.read_parquet(path)
        separator, has_index = _check_header(path)
        return pandas.read_csv(path, sep=separator, index_col=0 if has_index else None)
    except Exception as error:  # pandas and pyarrow raise their own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"cannot read {path!r} as a table: {reason}") from error


def import_pandas() -> Any:
    """Return pandas, which tables are read and written by.

    Raises:
      ValueError: it is not installed, with the command that does it.
    """
    try:
        import pandas as pd  # takes half a second: imported where it is used
    except ImportError:
        raise ValueError("tables need pandas: pip install 'vae_jax[tables]'") from None
    return pd


def _read_sklearn(name):
    import sklearn.datasets  # takes 0.6 s: imported where it is used

    if name not in _SKLEARN:
        raise ValueError(f"sklearn://{name} is unknown; known: {', '.join(_SKLEARN)}")
    options = {"scaled": False} if name == "diabetes" else {}
    loaded = getattr(sklearn.datasets, f"load_{name}")(as_frame=True, **options)
    if "target_names" in loaded:
        return loaded.frame.assign(target=loaded.target_names[loaded.target])
    return loaded.frame


def _check_header(path):
    # What separates the columns, and whether the first one is the index. pandas takes numbers for
    # names, and renames the second of two columns of one name.
    with open(path, newline="", encoding="utf-8-sig") as file:
        line = file.readline()
    separator = max(",;\t", key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    if names and (all(map(_is_number, names)) or any(map(_is_decimal, names))):
        raise ValueError(f"its first line must name the columns, but is {line.strip()[:60]!r}")
    _check_names(names[1:] if names[:1] == [""] else names)
    return separator, names[:1] == [""]


def _is_number(name):
    try:
        float(name)
    except ValueError:
        return False
    return True


def _is_decimal(name):
    return _is_number(name) and "." in name


def _check_names(names):
    twice = [name for name in dict.fromkeys(names) if list(names).count(name) > 1]
    if twice:
        raise ValueError(f"columns have one name: {_list(twice)}")
    if "" in names:
        raise ValueError("a column has no name")


def columns_of(table: Any) -> dict[str, np.ndarray]:
    """Return the columns of a DataFrame, or of a dictionary of lists, by name.

    Numbers are as they are, NaN where one is missing; of other columns the cells are Python
    objects, None where one is missing.

    Raises:
      ValueError: no columns, two of one name, or lengths that differ.
    """
    if isinstance(table, Mapping):
        columns = {str(name): _as_cells(cells) for name, cells in table.items()}
    else:
        _check_names([str(name) for name in table.columns])
        columns = {str(name): _cells_of(table[name]) for name in table.columns}
    if len({len(cells) for cells in columns.values()}) != 1:
        raise ValueError("a table must have columns, and all of one length")
    return columns


def _as_cells(cells):
    array = np.asarray(cells)
    if array.ndim != 1:
        raise ValueError(f"a column must be a list of cells, got shape {array.shape}")
    return array if array.dtype.kind in "buifmM" else np.array([*cells, None], object)[:-1]


def _cells_of(series):
    values = getattr(series, "dtype", None)
    kind = getattr(values, "kind", "O")
    if kind in "uif":
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind in "bmM" and not series.isna().any():
        return series.to_numpy()
    cells = series.astype(object)
    return cells.where(cells.notna(), None).to_numpy()


def make_table(
    table: Mapping[str, np.ndarray],
    name: str,
    columns: str | Mapping[str, str] = "",
    seed: int = 0,
    y: Any = None,
    split: Any = None,
) -> Dataset:
    """Make a data set of the columns of a table: a field for each kind, whose cells are Masked.

    Args:
      table: what `columns_of` returned.
      name: what the header and the errors call it.
      columns: kinds of columns, as `parse_columns` reads them.
      seed: of the split.
      y: a label or condition per row, or None.
      split: the part of each row, or None: as the column `split` says, or by `seed`.

    Raises:
      ValueError: columns that no model can use, too few rows, or an unknown kind.
    """
    table = dict(table)
    if split is None and _SPLIT in table and _says_parts(table[_SPLIT]):
        split = table.pop(_SPLIT)
    said = parse_columns(columns, list(table))
    described = _of_each(
        table, lambda each: describe_column(each, table[each], said.get(each, "")), name
    )
    if all(column.kind == DROP for column in described):
        raise ValueError(f"{name} has no column that is not left out")
    count = len(next(iter(table.values())))
    y = None if y is None else check_condition(y, count, name)
    examples = Examples(encode_table(described, table, name), y)
    if split is None:
        parts = split_examples(examples, (0.1, 0.1), seed)
    else:
        parts = split_as_said(examples, split, name)
    _check_train(described, parts[0], name)
    fields = {
        kind: _describe_field(kind, described, [part.x[kind] for part in parts])
        for kind in examples.x
    }
    parts = [
        part._replace(x={kind: each[0][i] for kind, each in fields.items()})
        for i, part in enumerate(parts)
    ]
    values = {kind: each[1] for kind, each in fields.items()}
    return Dataset(name, *parts, values, _labels_of(y), columns=tuple(described))


def _labels_of(y):
    is_label = y is not None and y.ndim == 1 and y.dtype.kind in "ui"
    return (int(y.min()), int(y.max())) if is_label else None


def _says_parts(cells):
    return set(cells[~is_missing(cells)].tolist()) <= set(SPLITS)


def _of_each(names, function, name, remedy=True):
    # The results for all columns, or one error that names all columns that have one.
    results, errors = [], {}
    for each in names:
        try:
            results.append(function(each))
        except ValueError as error:
            errors[each] = str(error)
    if errors:
        some = list(errors.items())[:_MOST_NAMED]
        text = "; ".join(f"column {each!r} {error}" for each, error in some)
        more = f"; and {len(errors) - len(some)} more columns" if len(errors) > len(some) else ""
        drop = ",".join(f"{each}={DROP}" for each in errors)
        leave = f': leave out by columns="{drop}", or say the kind' if remedy else ""
        raise ValueError(f"{name}: {text}{more}{leave}")
    return results


def encode_table(
    columns: Sequence[Column], table: Mapping[str, np.ndarray], name: str
) -> dict[str, Masked]:
    """Return the cells of a table as {kind: Masked(values, mask)}, not standardized.

    Raises:
      ValueError: values that a column cannot have; `name` says in the error whose.
    """
    kept = {column.name: column for column in columns if column.kind != DROP}
    encoded = _of_each(kept, lambda each: encode_cells(kept[each], table[each]), name, False)
    fields = {}
    for kind in _kinds_of(columns):
        own = [
            each for each, column in zip(encoded, kept.values(), strict=True) if column.kind == kind
        ]
        values, mask = (np.concatenate(arrays, axis=1) for arrays in zip(*own, strict=True))
        fields[kind] = Masked(values, mask.astype(np.uint8))
    return fields


def _kinds_of(columns):
    return [kind for kind in KINDS if any(column.kind == kind for column in columns)]


def _check_train(columns, train, name):
    # A density of a column that has one value in all training rows would be without a bound.
    def check(column):
        x = train.x[column.kind]
        at = _places(columns)[column.name]
        values, mask = x.values[:, at], x.mask[:, at] > 0
        if len(np.unique(values[mask[:, 0]], axis=0)) < 2:
            raise ValueError("has fewer than two values in the training rows")

    kept = {column.name: column for column in columns if column.kind in ("real", "positive")}
    _of_each(kept, lambda each: check(kept[each]), name)


def _places(columns):
    # {column: where it stands in its field}
    places, ends = {}, dict.fromkeys(KINDS, 0)
    for column in columns:
        if column.kind != DROP:
            start = ends[column.kind]
            ends[column.kind] = start + width_of(column)
            places[column.name] = slice(start, ends[column.kind])
    return places


def _describe_field(name, columns, xs):
    # The three parts as they are stored, and their Values.
    kind = KINDS[name]
    units = None
    if kind.is_standardized:
        xs, units, ends = standardize(xs, kind.is_log)
    else:
        xs = [Masked(x.values.astype(_STORED.get(name, np.float32)), x.mask) for x in xs]
        observed = np.concatenate([observed_values(x) for x in xs])
        ends = (float(observed.min()), float(observed.max()))
    classes = [len(column.categories) for column in columns if column.kind == "category"]
    return xs, Values(
        shape=xs[0].values.shape[1:],
        maximum=1.0,
        value_range=ends,
        binarization="static" if kind.values == "bits" else "none",
        is_integer=not kind.is_standardized,
        likelihood=kind.likelihood,
        units=units,
        kind=kind.values,
        classes=tuple(classes) if name == "category" else (),
    )


_STORED = {"bit": np.uint8, "category": np.uint8}


def fields_from_table(outline: Dataset, given: Any, name: str) -> dict[str, Masked]:
    """Return a table as the fields of a data set whose columns are known, not standardized.

    Raises:
      ValueError: other columns than those of the data set, or values that they cannot have.
    """
    table = columns_of(given)
    known = {column.name: column for column in outline.columns}
    kept = [each for each, column in known.items() if column.kind != DROP]
    lacking = [each for each in kept if each not in table]
    others = [each for each in table if each not in known and each != _SPLIT]
    if lacking or others:
        texts = [f"lacks {_list(lacking)}"] * bool(lacking)
        texts += [f"has {_list(others)}, which they have not"] * bool(others)
        raise ValueError(
            f"the columns of {name} differ from those the model was trained on: it "
            f"{' and '.join(texts)}"
        )
    return encode_table(outline.columns, table, name)


def sums_of_columns(outline: Dataset, fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return {column: the sum over its entries in each row} of fields such as log-densities."""
    places = _places(outline.columns)
    return {
        column.name: np.asarray(fields[column.kind])[:, places[column.name]].sum(axis=1)
        for column in outline.columns
        if column.kind != DROP
    }


def table_from_fields(outline: Dataset, fields: Mapping[str, np.ndarray]) -> Any:
    """Return fields in the units of the data as a DataFrame, or without pandas a dictionary."""
    places = _places(outline.columns)
    table = {
        column.name: decode_cells(column, np.asarray(fields[column.kind])[:, places[column.name]])
        for column in outline.columns
        if column.kind != DROP
    }
    try:
        import pandas as pd
    except ImportError:
        return table
    return pd.DataFrame(table)


def _list(names):
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(repr, names[:_MOST_NAMED])) + more
