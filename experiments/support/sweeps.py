"""Which runs train together: the product of a sweep's values and the seeds."""

import itertools
import math
from typing import NamedTuple

import ml_collections

from experiments.support.options import errors_of
from vae_jax import objectives
from vae_jax.lookup import check_positive

MOST_MEMBERS = 10_000


class Member(NamedTuple):
    """One of the runs that train together."""

    seed: int
    point: dict[str, float]
    """What the sweep sets for it, by field; {} without a sweep."""

    @property
    def point_name(self) -> str:
        """Name the point of the sweep, which members with other seeds share."""
        point = (f"{field.split('.')[-1]}={value:g}" for field, value in self.point.items())
        return ", ".join(point) or "mean"

    @property
    def name(self) -> str:
        """Name the member in logs, tables and pictures."""
        seed = f"seed={self.seed}"
        return f"{self.point_name}, {seed}" if self.point else seed

    @property
    def file_name(self) -> str:
        """Name the member's folder of pictures."""
        return self.name.replace(", ", "-")


def sweepable(
    config: ml_collections.ConfigDict, hparams: dict[str, float]
) -> dict[str, tuple[str, float]]:
    """Return what a sweep may vary: {field of the config: (traced number, its value)}."""
    fields = {f"objective.{name}": (name, value) for name, value in hparams.items()}
    fields["optimizer.learning_rate"] = "learning_rate", config.optimizer.learning_rate
    if rate := config.objective_optimizer.learning_rate:
        fields["objective_optimizer.learning_rate"] = "objective_learning_rate", rate
    return fields


def plan_members(config: ml_collections.ConfigDict, hparams: dict[str, float]) -> list[Member]:
    """Return the product of the sweep's values and the seeds.

    config.sweep is "field=value,value,...;field=..."; "" for none.

    Raises:
      ValueError: not of that form, a field that cannot be swept, a value that the field refuses,
        or more than MOST_MEMBERS.
    """
    known = sweepable(config, hparams)
    axes = {}
    for part in filter(None, config.sweep.split(";")):
        field, _, values = part.strip().partition("=")
        if field not in known:
            raise ValueError(
                f"config.sweep: {field!r} cannot vary within one program; what can: "
                f"{', '.join(known)} (run others one after the other)"
            )
        try:
            axes[field] = [float(value) for value in values.split(",")]
        except ValueError:
            raise ValueError(
                f"config.sweep: {part.strip()!r} is not of the form field=number,number,..."
            ) from None
        for value in axes[field]:
            check_swept(config, field, value)
    check_count(config.num_seeds * math.prod(map(len, axes.values())))
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    seeds = range(config.seed, config.seed + config.num_seeds)
    return [Member(seed, point) for point in points for seed in seeds]


def check_count(num_members: int) -> None:
    """Refuse more members than one program should train.

    Raises:
      ValueError: with their number.
    """
    if num_members > MOST_MEMBERS:
        raise ValueError(
            f"config.num_seeds and config.sweep ask for {num_members:,} members, at most "
            f"{MOST_MEMBERS:,} train in one program: run some after the others"
        )


def check_swept(config: ml_collections.ConfigDict, field: str, value: float) -> None:
    """Refuse what the config would refuse in the field's place.

    Raises:
      ValueError: with the field and the value.
    """
    block, name = field.split(".")
    with errors_of(block):
        if block == "objective":
            objectives.make_objective(**(config.objective.to_dict() | {name: value}))
        else:
            check_positive(**{name: value})
