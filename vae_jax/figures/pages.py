"""A figure in pixels, with the lines of its title."""

import textwrap
from typing import Any

DPI = 100  # so that lengths in pixels are hundredths of an inch
LETTER, LINE = 7.4, 20  # pixels that a letter and a line of text take


def make_figure(width: int | float, height: int | float) -> Any:
    """Return an empty matplotlib Figure of this size in pixels."""
    from matplotlib.figure import Figure  # 0.3 s: only those who draw pay

    # Axes have places of their own, whatever layout rcParams ask for.
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="none")


def wrap_title(title: str, width: int | float) -> list[tuple[str, bool]]:
    """Return the title's lines, none wider than `width` pixels, and whether each is bold."""
    first, *others = title.splitlines() or [""]
    lines = [(line, True) for line in textwrap.wrap(first, int(width / (1.25 * LETTER)))]
    for other in others:
        lines += [(line, False) for line in textwrap.wrap(other, int(width / (0.9 * LETTER)))]
    return lines


def write_title(figure: Any, lines: list[tuple[str, bool]], left: int | float) -> None:
    """Write a title's lines from the figure's top; `left` is a fraction of its width."""
    height = figure.get_figheight() * DPI
    for i, (line, is_bold) in enumerate(lines):
        style = {"fontsize": 12, "fontweight": "bold"} if is_bold else {"fontsize": 9.5}
        figure.text(left, 1 - (12 + i * LINE) / height, line, va="top", **style)
