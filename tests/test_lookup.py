"""Rows of a made-up table: found by name, and asked what options they take and what these mean."""

from typing import Any, NamedTuple

import pytest

from vae_jax.lookup import (
    check_options,
    look_up,
    option_meanings,
    options_of,
    pick,
    summary_of,
    take_options,
    unused_options,
)


def make_round(size, unit="m", *, radius: float = 1.0, is_open: bool = False):
    """A ring.

    The second paragraph of a docstring is no part of the summary.

    Args:
      size: not an option: it is handed in by position.
      radius: of the ring, in units
        that the next line goes on with: (m).
      is_open: whether a piece is missing.

    Raises:
      ValueError: radius: not a meaning of the option, but of an error.
    """
    return size, unit, radius, is_open


def make_plain():
    """A line"""


def make_square(*, side: float = 2.0, radius: float = 0.5):
    """A square with rounded corners.

    Args:
      side: its length.
    """
    return side, radius


class Row(NamedTuple):
    """A row that holds its function, as those of posteriors do."""

    values: str
    make: Any


SHAPES = {"round": make_round, "square": Row("flat", make_square), "plain": make_plain}
COLORS = {"red": lambda *, depth=3: depth, "blue": lambda: None}
TABLES = {"shape": SHAPES, "color": COLORS}


# Names.


def test_a_known_name_gives_its_row():
    assert look_up(SHAPES, "round", "shape") is make_round


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rond", "shape='rond' is unknown (did you mean 'round'?); known: plain, round, square"),
        ("xyz", "shape='xyz' is unknown; known: plain, round, square"),
        ("", "shape='' is unknown; known: plain, round, square"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name, message):
    """Mutants: a hint far from the name, a KeyError, names in the table's own order."""
    with pytest.raises(ValueError) as error:
        look_up(SHAPES, name, "shape")
    assert str(error.value) == message


def test_an_empty_table_says_so():
    with pytest.raises(ValueError, match="known: none"):
        look_up({}, "a", "shape")


def test_pick_takes_a_fields_entry_or_what_serves_all():
    assert pick({"a": 1, "b": 2}, "b") == 2
    assert pick("all", "b") == "all"


# Options.


def test_options_are_the_keyword_only_arguments_and_their_defaults():
    """Of a function, and of a tuple that holds one. Mutant: an argument by position counted too."""
    assert options_of(make_round) == {"radius": 1.0, "is_open": False}
    assert options_of(SHAPES["square"]) == {"side": 2.0, "radius": 0.5}
    assert options_of(make_plain) == {}


def test_a_row_takes_its_own_options_alone():
    """Mutant: defaults filled in for those that are not given."""
    given = {"radius": 5.0, "side": 1.0, "depth": 2}
    assert take_options(make_round, given) == {"radius": 5.0}
    assert take_options(SHAPES["square"], given) == {"radius": 5.0, "side": 1.0}
    assert take_options(make_plain, given) == {}


def test_options_of_the_chosen_rows_are_used():
    options = {"radius": 5.0, "depth": 2}
    assert unused_options(options, [("shape", "round"), ("color", "red")], TABLES) == {}
    check_options(options, [("shape", "round"), ("color", "red")], TABLES)


@pytest.mark.parametrize(
    ("option", "chosen", "message"),
    [
        (
            "side",
            [("shape", "round"), ("color", "red")],
            "side=7 is an option of shape=square only; chosen: shape='round', color='red'",
        ),
        (
            "radius",
            [("shape", "plain")],
            "radius=7 is an option of shape=round, shape=square only; chosen: shape='plain'",
        ),
        (
            "radios",
            [("shape", "round"), ("color", "blue")],
            "radios=7 is no option of any row (did you mean 'radius'?) (known: depth, "
            "is_open, radius, side); chosen: shape='round', color='blue'",
        ),
        (
            "size",
            [("shape", "round")],
            "size=7 is no option of any row (did you mean 'side'?) (known: depth, "
            "is_open, radius, side); chosen: shape='round'",
        ),
    ],
)
def test_an_option_that_no_chosen_row_takes_is_refused(option, chosen, message):
    """With the rows that take it, or the options that there are. Mutants: the options of all rows
    taken for those of the chosen ones, an argument by position taken for an option."""
    options = {option: 7, "radius": 7} if chosen[0][1] == "round" else {option: 7}
    assert unused_options(options, chosen, TABLES) == {option: message}
    with pytest.raises(ValueError) as error:
        check_options(options, chosen, TABLES)
    assert str(error.value) == message


def test_a_row_that_is_chosen_later_may_take_any_option_of_its_table():
    """Mutant: an option of the likelihood refused before the data have chosen the likelihood."""
    chosen, options = [("shape", "plain")], {"depth": 1, "side": 2}
    unused = unused_options(options, chosen, TABLES, undecided=["color"])
    assert list(unused) == ["side"]
    assert list(unused_options(options, chosen, TABLES)) == ["depth", "side"]


# What docstrings say.


@pytest.mark.parametrize(
    ("row", "summary"),
    [
        (make_round, "A ring"),
        (make_plain, "A line"),
        (SHAPES["square"], "A square with rounded corners"),
    ],
)
def test_summary_is_the_first_line(row, summary):
    """Mutants: the whole docstring, that of the tuple's class, a full stop kept."""
    assert summary_of(row) == summary


def test_meanings_are_those_of_the_section_of_arguments():
    """Mutants: an argument that is no option, a line that goes on cut off, `Raises:` read too."""
    assert option_meanings(make_round) == {
        "radius": "of the ring, in units that the next line goes on with: (m).",
        "is_open": "whether a piece is missing.",
    }
    assert option_meanings(SHAPES["square"]) == {"side": "its length."}
    assert option_meanings(make_plain) == {}
