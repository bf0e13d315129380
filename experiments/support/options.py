"""What a config resolves to: the options of the rows that it names, defaults included."""

from collections.abc import Collection, Iterator, Mapping
import contextlib
import os
from typing import Any

import ml_collections

from vae_jax.lookup import OWN_ROW, by_field, look_up, name_of, options_of, unused_options
from vae_jax.tables import TABLES


@contextlib.contextmanager
def errors_of(block: str) -> Iterator[None]:
    """Say in errors which block of the config they are about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"config.{block}: {error}") from error


def resolve(
    config: ml_collections.ConfigDict, typed: Collection[str] = ()
) -> tuple[ml_collections.ConfigDict, list[str]]:
    """Return what a config stands for, and notes on what it set in vain.

    Each block keeps its own fields and the options of the rows that it names; an option that is
    unset gets the default of the row that takes it. An option that no chosen row takes is refused,
    unless it comes from the config file and another row was typed instead of the file's: then it
    falls away, with a note. Paths of data become absolute.

    Args:
      config: as read, or resolved before.
      typed: fields that the command line set, as "block.field".

    Raises:
      ValueError: an unknown row, or an option that no chosen row takes.
    """
    resolved, notes = config.to_dict(), []
    for block, tables in TABLES.items():
        with errors_of(block):
            fields = {name.removeprefix(f"{block}.") for name in typed}
            resolved[block], dropped = resolve_block(resolved[block], tables, fields)
        notes += [f"note: config.{block}: {each}; it is left out" for each in dropped]
    for name in ("path", "data_dir"):  # a run is evaluated from any folder
        place = resolved["data"].get(name)
        if place and "://" not in place:
            resolved["data"][name] = os.path.abspath(os.path.expanduser(place))
    return ml_collections.ConfigDict(resolved), notes


def with_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config as JSON can hold it: rows of one's own are described by their name."""
    blocks = {}
    for block in TABLES.keys() & config.keys():
        tables = TABLES[block]
        rows = {field: config[block][field] for field in tables}
        own = {field: row for field, row in rows.items() if not isinstance(row, str)}
        described = {field: OWN_ROW + name_of(row) for field, row in own.items()}
        blocks[block] = dict(config[block]) | described
    return dict(config) | blocks


def with_rows(
    config: ml_collections.ConfigDict, given: Mapping[str, Any] | None
) -> ml_collections.ConfigDict:
    """Return a config that `with_names` described, with its rows taken from the one that is given.

    Args:
      config: of a folder.
      given: what --config defines; None: nothing.

    Raises:
      ValueError: the config has a row of its own, which is not given.
    """
    rows = config.to_dict()
    for block, tables in TABLES.items():
        for field in tables:
            name = rows[block][field]
            if not name.startswith(OWN_ROW):
                continue
            row = given[block][field] if given is not None else ""
            if isinstance(row, str) or OWN_ROW + name_of(row) != name:
                raise ValueError(
                    f"config.{block}.{field} of this run is a row of its own, "
                    f"{name.removeprefix(OWN_ROW)}: --config=FILE names the file that defines it"
                )
            rows[block][field] = row
    return ml_collections.ConfigDict(rows)


def resolve_block(
    block: Mapping[str, Any], tables: Mapping[str, Any], typed: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Return a block with the options of the rows that it names, and what was left out of it.

    Args:
      block: its fields; None is unset.
      tables: {field that names a row: its table}.
      typed: fields of the block that the command line set.

    Raises:
      ValueError: an unknown row, or an option that no chosen row takes.
    """
    chosen = [(field, name) for field in tables for name in names_in(block[field])]
    rows = [look_up(tables[field], name, field) for field, name in chosen]
    undecided = [field for field in tables if not block[field]]  # the data set chooses these
    every = {option for row in rows for option in options_of(row)}
    every |= {o for table in tables.values() for row in table.values() for o in options_of(row)}
    options = {name: value for name, value in block.items() if name in every and value is not None}
    unused = unused_options(options, chosen, tables, undecided)
    dropped = []
    for option, message in unused.items():
        if option in typed or not set(typed) & set(tables):
            raise ValueError(message)
        dropped.append(message)
    used = {name: value for name, value in options.items() if name not in unused}
    defaults = {name: value for row in rows for name, value in options_of(row).items()}
    own = {name: value for name, value in block.items() if name not in every}
    return own | defaults | used, dropped


def names_in(text: Any) -> list[Any]:
    """Return the names of rows in a field: none, one, or one for each field of x; or its row."""
    names = by_field(text)
    return list(
        dict.fromkeys(names.values() if isinstance(names, Mapping) else [names] if names else [])
    )
