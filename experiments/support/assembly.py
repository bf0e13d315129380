"""What a config stands for: it is opened here, once, and handed out as plain arguments."""

from collections.abc import Callable, Mapping
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from experiments.support.sweeps import Member, plan_members, sweepable
from vae_jax import datasets, models, objectives, training
from vae_jax.fast import threefry
from vae_jax.lookup import look_up, pick
from vae_jax.models import likelihoods, posteriors
from vae_jax.training import optimizers, sharding


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
    placement: sharding.Placement
    """Which devices hold the state, the data and the metrics."""
    members: list[Member]
    num_steps: int
    """Length of the run, in updates."""
    steps_per_epoch: int
    latents: str
    """What z is, as its row of `posteriors.POSTERIORS` says."""
    is_conditional: bool
    """Whether the model is given y."""
    bits_dimensions: int
    """The values of x that bits per dimension are over; 0: they have no meaning."""

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
    check_objective(objective, config.objective.name, config.vae.posterior)
    data = config.data.to_dict()
    dataset = datasets.load_dataset(**data | {"binarization": by_field(data["binarization"])})
    vae = build_vae(dataset, **config.vae)
    batches = datasets.make_batches(dataset, config.training.batch_size)
    num_steps = config.training.num_epochs * batches.steps_per_epoch
    optimizer = build_optimizer(num_steps, **config.optimizer)
    hparams = {
        name: jnp.array([member.point.get(field, value) for member in members], jnp.float32)
        for field, (name, value) in sweepable(config, objective.hparams).items()
    }
    placed = sharding.plan_placement(jax.devices(), len(members), config.training.batch_size)
    batches = sharding.divide_batches(batches, placed)
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
            members_at_once=placed.members_at_once,
            debug_nans=config.debug_nans,
        ),
        placement=placed,
        members=members,
        num_steps=num_steps,
        steps_per_epoch=batches.steps_per_epoch,
        latents=posteriors.POSTERIORS[config.vae.posterior].values,
        is_conditional=config.vae.conditional,
        bits_dimensions=count_bits_dimensions(dataset, by_field(config.vae.likelihood)),
    )


def build_vae(
    dataset: datasets.Dataset, likelihood: str, conditional: bool, **options: Any
) -> models.VAE:
    """Make the model of a config's block `vae`, of the shape and the kind that the data have.

    Raises:
      ValueError: what `models.make_vae` raises, a likelihood that is no density of the data, a
        condition that they do not have, or more pseudo-inputs than training examples.
    """
    names = by_field(likelihood)
    if isinstance(names, Mapping) and set(names) != set(dataset.fields):
        raise ValueError(
            f"vae.likelihood={likelihood!r} must name the fields of the data: "
            f"{', '.join(dataset.fields)}"
        )
    for field, values in dataset.fields.items():
        low, high = values.value_range
        what = f"{dataset.protocol} ({field}: values {low:g} .. {high:g})"
        likelihoods.check_likelihood(pick(names, field), values.kinds, what)
    condition = dataset.condition if conditional else None
    if conditional and condition is None:
        raise ValueError(
            f"vae.conditional=True needs y, which {dataset.name} has not: give labels under key "
            "'y', or parts of the image by data.given_quadrants=1"
        )
    if isinstance(condition, int):
        lowest = min(part.y.min() for part in (dataset.train, dataset.validation, dataset.test))
        if lowest < 0:
            raise ValueError(f"'y' of {dataset.name} must be labels 0, 1, ..., got {lowest}")
    count = datasets.num_examples(dataset.train)
    if options["prior"] == "vampprior" and options["num_components"] > count:
        raise ValueError(
            f"vae.num_components={options['num_components']} pseudo-inputs are more than the "
            f"{count} training examples that they start from"
        )
    return models.make_vae(
        dataset.shape,
        likelihood=names,
        num_levels=dataset.by_field("num_levels"),
        condition=condition,
        masked=dataset.is_masked,
        **options,
    )


def count_bits_dimensions(dataset: datasets.Dataset, names: str | dict[str, str]) -> int:
    """Return the number of values of x, or 0 where log p(x|z) is no log-probability of all."""
    chosen = [likelihoods.LIKELIHOODS[pick(names, field)] for field in dataset.fields]
    if not all(row.is_discrete for row in chosen):
        return 0
    if dataset.given is not None:
        return int(np.sum(dataset.given == 0))
    if dataset.is_masked:
        return 0
    return sum(math.prod(values.shape) for values in dataset.fields.values())


def by_field(text: str) -> str | dict[str, str]:
    """Read "name" as it is, and "field=name,field=name" as a dictionary."""
    if "=" not in text:
        return text
    return dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)


def check_objective(objective: objectives.Objective, name: str, posterior: str) -> None:
    """Refuse an objective whose samples this posterior does not have.

    Raises:
      ValueError: with the remedy.
    """
    row = look_up(posteriors.POSTERIORS, posterior, "vae.posterior")
    if row.is_discrete == objective.relaxes:
        return
    kind, remedy = (
        ("discrete", "objective.name=concrete (see configs/concrete.py)")
        if row.is_discrete
        else (
            "continuous",
            "objective.name=elbo or iwae, or vae.posterior=categorical or bernoulli",
        )
    )
    raise ValueError(
        f"objective.name={name!r} does not train the {kind} latents of vae.posterior="
        f"{posterior!r}: use {remedy}"
    )


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
