"""What a config stands for: it is opened here, once, and handed out as plain arguments."""

from collections.abc import Callable
import functools
import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from vae_jax import datasets, models, objectives, optimizers, placement, threefry, training


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


class Run(NamedTuple):
    """The five values of a run, and what follows from them."""

    dataset: datasets.Dataset
    vae: models.VAE
    objective: objectives.Objective
    optimizer: optimizers.Optimizer
    init: Callable[[], training.TrainState]
    """init() -> the state of all members at step 0."""
    train_steps: Callable[..., tuple[training.TrainState, dict[str, Any]]]
    """train_steps(state, dataset.train, stop) -> (state, metrics); donates the state."""
    placement: placement.Placement
    """Which devices hold the state, the data and the metrics."""
    members: list[Member]
    num_steps: int
    """Length of the run, in updates."""
    steps_per_epoch: int

    @property
    def member_names(self) -> list[str]:
        """The names of all members, in their order."""
        return [member.name for member in self.members]

    @property
    def points(self) -> dict[str, list[int]]:
        """The members of each point of the sweep, by index."""
        points: dict[str, list[int]] = {}
        for i, member in enumerate(self.members):
            points.setdefault(member.point_name, []).append(i)
        return points


class Evaluation(NamedTuple):
    """How a run is measured; none of it changes the training."""

    num_samples: int
    key: Any
    batch_size: int
    chunk_size: int


def build_run(config: ml_collections.ConfigDict) -> Run:
    """Make the data set, the model, the objective, the optimizer and the update of a config.

    Raises:
      ValueError: a name or value that is not possible, saying what is.
    """
    check_positive(config, "num_seeds", "training.num_epochs", "training.log_every_steps")
    check_positive(config, "training.eval_every_epochs", "training.checkpoint_every_epochs")
    check_positive(config, "optimizer.learning_rate")
    ema_decay = config.optimizer.ema_decay
    if not 0 <= ema_decay < 1:
        raise ValueError(f"optimizer.ema_decay must lie in 0 .. 1, got {ema_decay}")

    if config.training.profile_steps < 0:
        raise ValueError(f"training.profile_steps is {config.training.profile_steps}, not >= 0")
    if config.vae.precision == "float64":
        jax.config.update("jax_enable_x64", True)

    # What costs nothing to check comes before the data.
    objective = objectives.make_objective(**config.objective)
    members = plan_members(config, objective.hparams)
    dataset = datasets.load_dataset(**config.data)
    datasets.check_likelihood(dataset, config.vae.likelihood)
    vae = models.make_vae(dataset.shape, **config.vae)
    batches = datasets.make_batches(dataset, config.training.batch_size)
    num_steps = config.training.num_epochs * batches.steps_per_epoch
    optimizer = build_optimizer(num_steps, **config.optimizer)
    hparams = {
        name: jnp.array([member.point.get(field, value) for member in members], jnp.float32)
        for field, (name, value) in sweepable(config, objective.hparams).items()
    }
    placed = placement.plan_placement(jax.devices(), len(members), config.training.batch_size)
    batches = placement.divide_batches(batches, placed)
    step = training.make_train_step(vae, objective, optimizer, batches, ema_decay)
    return Run(
        dataset=dataset,
        vae=vae,
        objective=objective,
        optimizer=optimizer,
        init=functools.partial(
            init_run,
            dataset,
            [member.seed for member in members],
            hparams,
            vae=vae,
            objective=objective,
            optimizer=optimizer,
            use_ema=ema_decay > 0,
        ),
        train_steps=training.make_train_steps(
            step,
            batches,
            len(members),
            out_shardings=(placed.state, placed.copied),
            debug_nans=config.debug_nans,
        ),
        placement=placed,
        members=members,
        num_steps=num_steps,
        steps_per_epoch=batches.steps_per_epoch,
    )


def sweepable(
    config: ml_collections.ConfigDict, hparams: dict[str, float]
) -> dict[str, tuple[str, float]]:
    """Return what a sweep may vary: {field of the config: (traced number, its value)}."""
    fields = {f"objective.{name}": (name, value) for name, value in hparams.items()}
    return fields | {"optimizer.learning_rate": ("learning_rate", config.optimizer.learning_rate)}


def plan_members(config: ml_collections.ConfigDict, hparams: dict[str, float]) -> list[Member]:
    """Return the product of the sweep's values and the seeds.

    config.sweep is "field=value,value,...;field=..."; "" for none.

    Raises:
      ValueError: not of that form, a field that cannot be swept, or a value that the field refuses.
    """
    known = sweepable(config, hparams)
    axes = {}
    for part in filter(None, config.sweep.split(";")):
        field, _, values = part.strip().partition("=")
        if field not in known:
            raise ValueError(
                f"sweep: {field!r} cannot vary within one program; what can: {', '.join(known)} "
                "(run others one after the other)"
            )
        try:
            axes[field] = [float(value) for value in values.split(",")]
        except ValueError:
            raise ValueError(
                f"sweep: {part.strip()!r} is not of the form field=number,number,..."
            ) from None
        for value in axes[field]:
            check_swept(config, field, value)
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    seeds = range(config.seed, config.seed + config.num_seeds)
    return [Member(seed, point) for point in points for seed in seeds]


def check_swept(config: ml_collections.ConfigDict, field: str, value: float) -> None:
    """Refuse what the config would refuse in the field's place.

    Raises:
      ValueError: with the field and the value.
    """
    block, name = field.split(".")
    if block == "objective":
        objectives.make_objective(**(config.objective.to_dict() | {name: value}))
    elif not 0 < value < math.inf:
        raise ValueError(f"{field} must be above 0 and finite, got {value}")


def build_evaluation(config: ml_collections.ConfigDict) -> Evaluation:
    """Read the evaluation block.

    Raises:
      ValueError: a number below one.
    """
    sizes = ("num_samples", "batch_size", "chunk_size")
    check_positive(config, *(f"evaluation.{size}" for size in sizes))
    block = config.evaluation
    return Evaluation(
        block.num_samples, threefry.key(block.seed), block.batch_size, block.chunk_size
    )


def build_optimizer(
    num_steps, learning_rate, ema_decay, name, clip_norm, schedule, **schedule_options
):
    """Split the optimizer's block into its schedule and the rest."""
    shape = optimizers.make_schedule(schedule, num_steps=num_steps, **schedule_options)
    return optimizers.make_optimizer(name, shape, clip_norm=clip_norm)


def init_run(dataset, seeds, hparams, **init):
    """Initialise one member for each seed."""
    keys = jax.vmap(threefry.key)(jnp.asarray(seeds))

    # The training examples enter as an argument: as a constant they would be compiled in.
    @jax.jit
    def init_members(train, keys):
        examples = datasets.expected_examples(dataset, train)
        return training.init_members(keys, hparams, examples=examples, **init)

    return init_members(dataset.train, keys)


def check_positive(config: ml_collections.ConfigDict, *fields: str) -> None:
    """Refuse fields that are not finite numbers above zero.

    Raises:
      ValueError: with the field and its value.
    """
    for field in fields:
        value = functools.reduce(getattr, field.split("."), config)
        if not 0 < value < math.inf:
            raise ValueError(f"{field} must be above 0 and finite, got {value}")
