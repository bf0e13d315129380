"""Training: the state of a run, its one update, and many updates in one jitted call.

Everything is written for one run and lifted to several, the members, by one function. Models and
objectives come in as values.
"""

from vae_jax.training.loop import make_train_steps
from vae_jax.training.members import (
    init_members,
    member_axes,
    merge_members,
    over_members,
    select_member,
)
from vae_jax.training.optimizers import (
    OPTIMIZERS,
    SCHEDULES,
    Optimizer,
    join_optimizers,
    make_optimizer,
    make_schedule,
)
from vae_jax.training.sharding import Placement, divide_batches, plan_placement
from vae_jax.training.state import Failure, RunKeys, TrainState, init_state, run_keys
from vae_jax.training.step import make_train_step

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Failure",
    "Optimizer",
    "Placement",
    "RunKeys",
    "TrainState",
    "divide_batches",
    "init_members",
    "init_state",
    "join_optimizers",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "make_train_steps",
    "member_axes",
    "merge_members",
    "over_members",
    "plan_placement",
    "run_keys",
    "select_member",
]
