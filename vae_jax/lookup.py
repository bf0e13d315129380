"""Looking a row up in a table by its name, and the options that a row takes.

A table is a dictionary from names to rows. A row is a function that makes something, or a tuple
with such a function as its field `make`. Its keyword-only arguments are its options, with their
defaults; the first line of its docstring says what the row is.
"""

from collections.abc import Iterable, Mapping
import difflib
import inspect
import numbers
import re
from typing import Any

_MOST_FINITE = 3.4e38  # of a float32
OWN_ROW = "own row "  # begins what stands in a description for a row that is no table's


def look_up(table: Mapping[str, Any], name: Any, argument: str) -> Any:
    """Return table[name], or a row of one's own that is given in the place of a name.

    Args:
      table: by name.
      name: one of its names, or a row like those of the table.
      argument: says in an error where the name came from.

    Raises:
      ValueError: no such row; the message names the nearest row and all of them.
    """
    if not isinstance(name, str):
        return _check_row(table, name, argument)
    if name in table:
        return table[name]
    raise ValueError(f"{argument}={name!r} is unknown{_hint(name, table)}; known: {_list(table)}")


def _check_row(table, row, argument):
    like = next(iter(table.values()))
    if callable(row) if callable(like) else isinstance(row, type(like)):
        return row
    kind = "a function" if callable(like) else f"a {type(like).__name__}"
    raise ValueError(f"{argument} must be a name ({_list(table)}) or {kind}, got {row!r}")


def name_of(row: Any) -> str:
    """Return what a row is called: its name, or that of the function of a row of one's own."""
    return row if isinstance(row, str) else getattr(_function(row), "__name__", repr(row))


def own_rows(rows: Mapping[str, Any]) -> list[str]:
    """Return "argument=name" of those rows that are one's own, or stand for one in a description.

    Args:
      rows: {argument that names a row: a name, {field: name}, or a row}.
    """
    return [
        f"{argument}={name_of(row).removeprefix(OWN_ROW)}"
        for argument, value in rows.items()
        for row in (value.values() if isinstance(value, Mapping) else [value])
        if not isinstance(row, str) or row.startswith(OWN_ROW)
    ]


def pick(table: Any, field: str) -> Any:
    """Return a field's entry of a dictionary, or what serves all fields."""
    return table[field] if isinstance(table, Mapping) else table


def by_field(text: Any) -> Any:
    """Read "name" as it is, and "field=name,field=name" as a dictionary."""
    if not isinstance(text, str) or "=" not in text:
        return text
    return dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)


def options_of(row: Any) -> dict[str, Any]:
    """Return {option: default} of a row: the keyword-only arguments of its function."""
    parameters = inspect.signature(_function(row)).parameters.values()
    return {each.name: each.default for each in parameters if each.kind == each.KEYWORD_ONLY}


def take_options(row: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options that this row takes."""
    known = options_of(row)
    return {name: value for name, value in options.items() if name in known}


def unused_options(
    options: Mapping[str, Any],
    chosen: Iterable[tuple[str, Any]],
    tables: Mapping[str, Mapping[str, Any]],
    undecided: Iterable[str] = (),
) -> dict[str, str]:
    """Return {option: why it is refused} of the options that no chosen row takes.

    Args:
      options: by name.
      chosen: (argument, name of the row, or the row) pairs, whose names are in their tables.
      tables: {argument that names a row: its table}.
      undecided: arguments whose row is chosen later: an option of any row of their tables may be
        taken.
    """
    chosen = list(chosen)
    rows = [look_up(tables[argument], name, argument) for argument, name in chosen]
    rows += [row for argument in undecided for row in tables[argument].values()]
    taken = {option for row in rows for option in options_of(row)}
    names = ", ".join(f"{argument}={name_of(name)!r}" for argument, name in chosen)
    return {
        option: f"{option}={value!r} is {_who_takes(option, tables)}; chosen: {names}"
        for option, value in options.items()
        if option not in taken
    }


def check_options(
    options: Mapping[str, Any],
    chosen: Iterable[tuple[str, Any]],
    tables: Mapping[str, Mapping[str, Any]],
) -> None:
    """Refuse an option that no chosen row takes.

    Raises:
      ValueError: with the rows that take it, or the options that are known.
    """
    for message in unused_options(options, chosen, tables).values():
        raise ValueError(message)


def check_positive(**options: Any) -> None:
    """Refuse options that are not above zero and finite (as float32, below 3.4e38).

    Raises:
      ValueError: with the option and its value.
    """
    for name, value in options.items():
        if not 0 < _number(name, value) < _MOST_FINITE:
            raise ValueError(f"{name} must be above 0 and finite, got {value}")


def _number(name, value):
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None


def check_not_negative(**options: Any) -> None:
    """Refuse options that are negative, infinite (as float32, from 3.4e38 on) or NaN.

    Raises:
      ValueError: with the option and its value.
    """
    for name, value in options.items():
        if not 0 <= _number(name, value) < _MOST_FINITE:
            raise ValueError(f"{name} must be >= 0 and finite, got {value}")


def check_finite(**options: Any) -> None:
    """Refuse options that are not finite (as float32, below 3.4e38 in size).

    Raises:
      ValueError: with the option and its value.
    """
    for name, value in options.items():
        if not abs(_number(name, value)) < _MOST_FINITE:
            raise ValueError(f"{name} must be finite, got {value}")


def check_whole(least: int, most: int, **options: Any) -> None:
    """Refuse options that are not whole numbers in least .. most, or tuples of such numbers.

    Raises:
      ValueError: with the option and its value.
    """
    for name, value in options.items():
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, bool) or not isinstance(each, numbers.Integral):
                raise ValueError(f"{name} must be a whole number (or several), got {value!r}")
            if each < least:
                raise ValueError(f"{name} must be >= {least}, got {value}")
            if each > most:
                raise ValueError(f"{name} must be at most {most:,}, got {value}")


def check_seed(**seeds: Any) -> None:
    """Refuse seeds other than 0 .. 2^32 - 1: a key is made of 32 bits, the others would be lost.

    Raises:
      ValueError: with the name of the seed and its value.
    """
    check_whole(0, 2**32 - 1, **seeds)


def summary_of(row: Any) -> str:
    """Return what a row is: the first line of its function's docstring."""
    return doc_of(row).splitlines()[0].rstrip(".")


def option_meanings(row: Any) -> dict[str, str]:
    """Return {option: what it means}, from the section `Args:` of the row's docstring."""
    _, _, arguments = doc_of(row).partition("Args:\n")
    entries = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", arguments.partition("\n\n")[0], re.M)
    known = options_of(row)
    return {name: " ".join(text.split()) for name, text in entries if name in known}


def doc_of(row: Any) -> str:
    """Return the docstring of a row's function, without its indentation."""
    return inspect.getdoc(_function(row))


def _function(row):
    return getattr(row, "make", row)


def _who_takes(option, tables):
    takers = [
        f"{argument}={name}"
        for argument, table in tables.items()
        for name, row in table.items()
        if option in options_of(row)
    ]
    if takers:
        return f"an option of {', '.join(takers)} only"
    known = {
        each for table in tables.values() for row in table.values() for each in options_of(row)
    }
    return f"no option of any row{_hint(option, known)} (known: {_list(known)})"


def _hint(name, known):
    near = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _list(names):
    return ", ".join(sorted(names)) or "none"
