"""Looking a name up in a table: the package's own, or one with a row for each field of x."""

from collections.abc import Mapping
import difflib
from typing import Any


def look_up(table: Mapping[str, Any], name: str, field: str) -> Any:
    """Return table[name]; `field` says in an error where the name came from.

    Raises:
      ValueError: no such row; the message names the nearest row and all of them.
    """
    if name in table:
        return table[name]
    near = difflib.get_close_matches(str(name), table, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{field}={name!r} is unknown{hint}; known: {', '.join(sorted(table))}")


def pick(table: Any, field: str) -> Any:
    """Return a field's entry of a dictionary, or what serves all fields."""
    return table[field] if isinstance(table, Mapping) else table
