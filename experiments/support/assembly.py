"""From a config to values: it is opened here, once, and handed out as plain arguments."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from experiments.support.limits import check_numbers, count_steps
from experiments.support.options import by_field, errors_of, resolve_block
from experiments.support.processes import choose_devices, members_at_once
from experiments.support.sweeps import Member, plan_members, sweepable
from vae_jax import datasets, evaluation, models, networks, objectives, training
from vae_jax.fast import threefry
from vae_jax.lookup import check_not_negative, check_options, look_up, take_options
from vae_jax.tables import TABLES

_WARMUP_STEPS = 100
# Training examples that initial biases are set from: those of so many values, or a thousand.
_INIT_VALUES, _INIT_EXAMPLES = 2**26, 1000


class Run(NamedTuple):
    """The values of a run, and what follows from them."""

    config: ml_collections.ConfigDict
    """What the run resolved to, defaults included."""
    dataset: datasets.Dataset
    vae: models.VAE
    objective: objectives.Objective
    init: Callable[[datasets.Examples], training.TrainState]
    """init(dataset.train) -> the state of all members at step 0."""
    train_steps: Callable[..., tuple[training.TrainState, dict[str, Any]]]
    """train_steps(state, source, stop) -> (state, metrics); donates the state. The source is
    dataset.train, or a Chunk of these steps where it is streamed."""
    placement: training.Placement
    """Which devices hold the state, the data and the metrics."""
    members: list[Member]
    num_steps: int
    """Length of the run, in updates."""
    steps_per_epoch: int
    is_streamed: bool
    """Whether the training examples stay on the host, as more than config.data.device_bytes."""
    bits_dimensions: int
    """Number of values of x that bits per dimension are over; 0: they have no meaning."""

    @property
    def is_conditional(self) -> bool:
        """Whether the model is given y."""
        return self.config.vae.conditional

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
    keys: evaluation.EvaluationKeys
    batch_size: int
    chunk_size: int


def build_run(config: ml_collections.ConfigDict, dataset: datasets.Dataset | None = None) -> Run:
    """Make the data set, the model, the objective, the optimizer and the update of a config.

    Args:
      config: what `options.resolve` returned.
      dataset: the config's, or its outline; None: it is loaded.

    Raises:
      ValueError: a name or value that is not possible, saying what is.
    """
    use_precision(config.vae.precision)
    check_numbers(config)
    # What costs nothing to check comes before the data.
    with errors_of("objective"):
        objective = objectives.make_objective(**config.objective)
    members = plan_members(config, objective.hparams)
    dataset = load_dataset(**config.data) if dataset is None else dataset
    config = with_channels(with_likelihood(config, dataset), dataset)
    config = with_dataset_size(config, dataset)
    vae = build_vae(dataset, **config.vae)
    with errors_of("objective"):
        objective = objectives.make_objective(**config.objective)
        objectives.check_latents(vae, objective.latents)
        objectives.check_batch_size(objective.compares_examples, config.training.batch_size)
        objectives.check_labels(objective, vae, dataset)
    return assemble(config, dataset, vae, objective, members)


def assemble(
    config: ml_collections.ConfigDict,
    dataset: datasets.Dataset,
    vae: models.VAE,
    objective: objectives.Objective,
    members: list[Member],
) -> Run:
    """Join what was made to a run: its batches, its optimizer, its devices and its update."""
    ema_decay, batch_size = config.optimizer.ema_decay, config.training.batch_size
    with errors_of("training"):
        num_bytes, most_bytes = datasets.num_bytes(dataset.train), config.data.device_bytes
        is_streamed = num_bytes > most_bytes
        make = datasets.make_streamed_batches if is_streamed else datasets.make_batches
        batches = make(dataset, batch_size)
        # Where the first NaN arises is looked for on one device.
        num_members = 1 if config.debug_nans else len(members)
        devices = choose_devices(num_members, num_bytes, most_bytes)
        placed = training.plan_placement(devices, len(members), batch_size)
        num_steps = count_steps(config.training.num_epochs, batches.steps_per_epoch)
    config = with_warmup(config, num_steps)
    with errors_of("optimizer"):
        optimizer = build_optimizer(num_steps, **config.optimizer)
    with errors_of("objective_optimizer"):
        optimizer = with_own_optimizer(optimizer, num_steps, config)
    init = make_init(
        dataset,
        members,
        sweepable(config, objective.hparams),
        vae=vae,
        objective=objective,
        optimizer=optimizer,
        use_ema=ema_decay > 0,
    )
    divided = training.divide_batches(batches, placed)
    train_steps = training.make_train_steps(
        training.make_train_step(vae, objective, optimizer, divided, ema_decay),
        divided,
        placement=placed,
        members_at_once=members_at_once(placed),
        debug_nans=config.debug_nans,
    )
    return Run(
        config=config,
        dataset=dataset,
        vae=vae,
        objective=objective,
        init=init,
        train_steps=train_steps,
        placement=placed,
        members=members,
        num_steps=num_steps,
        steps_per_epoch=batches.steps_per_epoch,
        is_streamed=is_streamed,
        bits_dimensions=models.count_bits_dimensions(dataset, by_field(config.vae.likelihood)),
    )


def use_precision(precision: str) -> None:
    """Switch float64 on where it is asked for: before any array is made."""
    if precision == "float64":
        jax.config.update("jax_enable_x64", True)


def load_dataset(device_bytes: int, **options: Any) -> datasets.Dataset:
    """Load the data set of a config's block `data`; it is the same for any budget of bytes.

    Raises:
      ValueError: what `datasets.load_dataset` raises.
    """
    with errors_of("data"):
        check_not_negative(device_bytes=device_bytes)
        if "binarization" in options:
            options["binarization"] = by_field(options["binarization"])
        return datasets.load_dataset(**options)


def with_likelihood(
    config: ml_collections.ConfigDict, dataset: datasets.Dataset
) -> ml_collections.ConfigDict:
    """Return the config with the likelihood and its options, which the data set may have chosen.

    Raises:
      ValueError: a likelihood that does not fit the data, or an option of another one.
    """
    with errors_of("vae"):
        names = models.choose_likelihood(dataset, by_field(config.vae.likelihood))
        if not isinstance(config.vae.likelihood, str):
            return config  # a row of its own, whose options are resolved
        if isinstance(names, Mapping):
            names = ",".join(f"{field}={name}" for field, name in names.items())
        block = config.vae.to_dict() | {"likelihood": names}
        block, _ = resolve_block(block, TABLES["vae"])
    return ml_collections.ConfigDict(config.to_dict() | {"vae": block})


def with_channels(
    config: ml_collections.ConfigDict, dataset: datasets.Dataset
) -> ml_collections.ConfigDict:
    """Return the config with the channels that suit the images, where it leaves them open."""
    block = config.vae.to_dict()
    if block.get("channels") == () and dataset.is_plain and len(dataset.shape) == 3:
        block["channels"] = networks.channels_for((), dataset.shape)
    return ml_collections.ConfigDict(config.to_dict() | {"vae": block})


def with_dataset_size(
    config: ml_collections.ConfigDict, dataset: datasets.Dataset
) -> ml_collections.ConfigDict:
    """Return the config with the number of training examples, where the objective wants it."""
    block = config.objective.to_dict()
    if block.get("dataset_size") == 0:
        block["dataset_size"] = datasets.num_examples(dataset.train)
    return ml_collections.ConfigDict(config.to_dict() | {"objective": block})


def with_warmup(config: ml_collections.ConfigDict, num_steps: int) -> ml_collections.ConfigDict:
    """Return the config with the warm-up of the learning rate, which is by default that of a run
    of num_steps."""
    block = config.optimizer.to_dict()
    if block["warmup_steps"] is None:
        block["warmup_steps"] = min(_WARMUP_STEPS, num_steps // 10)
    return ml_collections.ConfigDict(config.to_dict() | {"optimizer": block})


def build_vae(dataset: datasets.Dataset, likelihood: str, **options: Any) -> models.VAE:
    """Make the model of a config's block `vae`.

    Raises:
      ValueError: what `models.make_vae_for` and the model's `init` raise.
    """
    with errors_of("vae"):
        vae = models.make_vae_for(dataset, likelihood=by_field(likelihood), **options)

        def init(key, train):
            return vae.init(key, datasets.expected_examples(dataset, train))

        jax.eval_shape(init, threefry.key(0), dataset.train)  # refuses before anything is computed
    return vae


def build_optimizer(
    num_steps: int,
    learning_rate: float,
    ema_decay: float,
    name: str,
    clip_norm: float,
    schedule: str,
    warmup_steps: int,
    **options: Any,
) -> training.Optimizer:
    """Make the optimizer of a config's block `optimizer`, whose options are the schedule's too.

    Raises:
      ValueError: what `make_schedule` and `make_optimizer` raise.
    """
    shape = training.make_schedule(
        schedule,
        num_steps=num_steps,
        warmup_steps=warmup_steps,
        **take_options(look_up(training.SCHEDULES, schedule, "schedule"), options),
    )
    taken = take_options(look_up(training.OPTIMIZERS, name, "name"), options)
    return training.make_optimizer(name, shape, clip_norm=clip_norm, **taken)


def is_set(objective_optimizer: Mapping[str, Any]) -> bool:
    """Tell whether that block of a config differs from the model's optimizer in anything."""
    return dict(objective_optimizer) != {"name": "", "learning_rate": 0.0}


def with_own_optimizer(
    optimizer: training.Optimizer, num_steps: int, config: ml_collections.ConfigDict
) -> training.Optimizer:
    """Return the optimizer, with another one for the objective's own parameters if that is set.

    What the block `objective_optimizer` leaves unset is as in the block `optimizer`.

    Raises:
      ValueError: an option that its row does not take, or what `build_optimizer` raises.
    """
    own = config.objective_optimizer.to_dict()
    if not is_set(own):
        return optimizer
    model = config.optimizer.to_dict()
    name, rate = own.pop("name") or model["name"], own.pop("learning_rate")
    check_options(own, [("name", name)], {"name": training.OPTIMIZERS})
    made = build_optimizer(num_steps, **model | own | {"name": name})

    def at_own_rate(hparams):
        return made(hparams | {"learning_rate": hparams["objective_learning_rate"]})

    return training.join_optimizers(optimizer, at_own_rate if rate else made)


def make_init(
    dataset: datasets.Dataset,
    members: list[Member],
    swept: dict[str, tuple[str, float]],
    **init: Any,
) -> Callable[[datasets.Examples], training.TrainState]:
    """Return init(train) -> the state of all members at step 0, each with its seed and sweep point.

    Args:
      dataset: how its values become what the model sees.
      members: the runs.
      swept: {field of the config: (traced number, its value)}.
      **init: further arguments of `training.init_members`.
    """

    # The training examples enter as an argument: as a constant they would be compiled in.
    @jax.jit
    def init_members(train, seeds, hparams):
        examples = datasets.expected_examples(dataset, train)
        keys = jax.vmap(threefry.key)(seeds)
        return training.init_members(keys, hparams, examples=examples, **init)

    def init_run(train):
        hparams = {
            name: jnp.array([member.point.get(field, value) for member in members], jnp.float32)
            for field, (name, value) in swept.items()
        }
        seeds = jnp.array([member.seed for member in members], jnp.uint32)
        return init_members(some_examples(train), seeds, hparams)

    return init_run


def some_examples(examples: datasets.Examples) -> datasets.Examples:
    """Return all examples, or of very many some, drawn at random: their mean need not be exact.

    These are the same for every run, whatever its seed and its memory.
    """
    count = datasets.num_examples(examples)
    num_values = sum(leaf.size for leaf in jax.tree.leaves(examples.x)) // count
    most = max(_INIT_VALUES // num_values, _INIT_EXAMPLES)
    if count <= most:
        return examples
    chosen = np.sort(np.random.default_rng(0).choice(count, most, replace=False))
    return jax.tree.map(lambda leaf: leaf[chosen], examples)


def build_evaluation(config: ml_collections.ConfigDict) -> Evaluation:
    """Read the evaluation block, whose numbers `build_run` has checked."""
    block = config.evaluation
    sizes = {name: block[name] for name in ("num_samples", "batch_size", "chunk_size")}
    return Evaluation(keys=evaluation.evaluation_keys(threefry.key(block.seed)), **sizes)
