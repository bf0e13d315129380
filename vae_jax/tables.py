"""Looking a name up in one of the package's tables."""

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
