"""Which numbers a config may hold."""

import ml_collections

from experiments.support.options import errors_of
from vae_jax.lookup import check_not_negative, check_positive, check_seed, check_whole

_MOST_STEPS = 2**31 - 1  # the step is an int32
_MOST_SAMPLES = 10**9  # of the evaluation, whose samples are counted by an int32
_MOST_PROFILED = 1000  # a trace of more fills the memory


def check_numbers(config: ml_collections.ConfigDict) -> None:
    """Refuse numbers of the config that are out of range.

    Raises:
      ValueError: with the field and its value.
    """
    check_positive(**{"config.num_seeds": config.num_seeds})
    check_seed(**{"config.seed": config.seed})
    check_seed(**{"config.seed + config.num_seeds - 1": config.seed + config.num_seeds - 1})
    intervals = ("log_every_steps", "eval_every_epochs", "checkpoint_every_epochs")
    with errors_of("training"):
        check_positive(**{name: config.training[name] for name in ("num_epochs", *intervals)})
        check_whole(0, _MOST_PROFILED, profile_steps=config.training.profile_steps)
        if config.training.patience < 0:
            raise ValueError(f"patience must be >= 0, got {config.training.patience}")
    with errors_of("optimizer"):
        check_positive(learning_rate=config.optimizer.learning_rate)
        if not 0 <= config.optimizer.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in 0 .. 1, got {config.optimizer.ema_decay}")
    with errors_of("objective_optimizer"):
        check_not_negative(learning_rate=config.objective_optimizer.learning_rate)
    with errors_of("evaluation"):
        block = config.evaluation
        check_seed(seed=block.seed)
        check_whole(1, _MOST_SAMPLES, num_samples=block.num_samples)
        check_positive(batch_size=block.batch_size, chunk_size=block.chunk_size)


def count_steps(num_epochs: int, steps_per_epoch: int) -> int:
    """Return the number of updates of a run.

    Raises:
      ValueError: more than a step can count.
    """
    if num_epochs * steps_per_epoch > _MOST_STEPS:
        raise ValueError(
            f"num_epochs must be at most {_MOST_STEPS // steps_per_epoch:,}, as an epoch has "
            f"{steps_per_epoch} steps, got {num_epochs}"
        )
    return num_epochs * steps_per_epoch
