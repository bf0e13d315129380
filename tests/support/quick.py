"""Which of the values of a parametrized test run by default."""

from collections.abc import Iterable
from typing import Any

import pytest


def quick(values: Iterable[Any], *by_default: Any) -> list[Any]:
    """Return the values of a parametrized test, those that are not `by_default` marked slow."""
    return [
        value if value in by_default else _slow(*(value if isinstance(value, tuple) else (value,)))
        for value in values
    ]


def _slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)
