"""Many updates in one jitted call, and what becomes of a run that is no longer finite."""

from collections.abc import Callable
import functools
from typing import Any

import jax
from jax import Array
from jax.experimental import checkify
import jax.numpy as jnp

from vae_jax.lookup import check_whole
from vae_jax.training.members import over_members
from vae_jax.training.sharding import ONE_DEVICE, Placement, over_devices
from vae_jax.training.state import Failure, TrainState, run_keys


def make_train_steps(
    train_step: Callable[[TrainState, Any], tuple[TrainState, dict[str, Array]]],
    batches: Any,
    placement: Placement = ONE_DEVICE,
    members_at_once: int | None = None,
    debug_nans: bool = False,
) -> Callable[[TrainState, Any, Any], tuple[TrainState, dict[str, Array]]]:
    """Make train_steps(state, source, stop) -> (state, metrics), jitted, which consumes `state`.

    It trains all members of the state from state.step up to the step `stop`, which may be any later
    number: one compilation serves all. Metrics are means over these steps, shape (members,); those
    of a member that failed are NaN.

    Args:
      train_step: the update of one run.
      batches: has `steps_per_epoch` and `begin_epoch(source, key, epoch) -> source`.
      placement: which devices hold the state, where `placement.put` has laid it.
      members_at_once: how many members are computed together, the groups one after the other;
        None: all.
      debug_nans: find the operation that makes the first NaN; slow, and without donation.

    The function that is returned raises what follows.

    Raises:
      ValueError: `stop` is no whole number, or not beyond state.step; a source that is not made of
        arrays.
      FloatingPointError: with debug_nans; with the operation and its line.
    """

    lifted = over_members(_steps_of_one_run(train_step, batches), members_at_once)
    lifted = over_devices(lifted, placement)
    if debug_nans:
        return _check_given(_check_nans(lifted), placement)
    of_members = placement.state and placement.state.key
    jitted = jax.jit(lifted, donate_argnums=0, out_shardings=(placement.state, of_members))
    return _check_given(jitted, placement)


def _steps_of_one_run(train_step, batches):
    def train_steps(state, source, stop):
        stop = jnp.asarray(stop, state.step.dtype)

        def steps_of_one_epoch(carry):
            state, _ = carry
            epoch = state.step // batches.steps_per_epoch
            epoch_source = batches.begin_epoch(source, run_keys(state.key).order, epoch)

            def one_step(_, carry):
                state, sums = carry
                step = state.step
                state, metrics = train_step(state, epoch_source)
                state = state._replace(failure=_first_failure(state.failure, step, metrics))
                return state, jax.tree.map(jnp.add, sums, metrics)

            last = jnp.minimum(stop, (epoch + 1) * batches.steps_per_epoch)
            return jax.lax.fori_loop(state.step, last, one_step, carry)

        metrics_like = jax.eval_shape(train_step, state, batches.begin_epoch(source, state.key, 0))
        zeros = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics_like[1])
        trained, sums = jax.lax.while_loop(
            lambda carry: carry[0].step < stop, steps_of_one_epoch, (state, zeros)
        )
        trained, good = _freeze_failed(state, trained, len(sums))
        num_steps = stop - state.step
        return trained, jax.tree.map(lambda s: jnp.where(good, s / num_steps, jnp.nan), sums)

    return train_steps


def _check_given(jitted, placement):
    @functools.wraps(jitted)
    def train_steps(state, source, stop):
        if not all(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(source)):
            raise ValueError(
                "the source of training must be made of arrays, such as dataset.train; got "
                f"{type(source).__name__}"
            )
        if not hasattr(stop, "dtype"):
            check_whole(0, 2**31 - 1, stop=stop)
        done = int(state.step)
        if stop <= done:
            raise ValueError(f"stop={stop} must lie beyond the {done} steps that are done")
        state, metrics = jitted(state, source, stop)
        return state, placement.collect_metrics(metrics)

    train_steps.jitted = jitted
    return train_steps


def _check_nans(function):
    checked = jax.jit(checkify.checkify(function, errors=checkify.nan_checks))

    def raise_first(*arguments):
        error, results = checked(*arguments)
        exception = error.get_exception()
        if exception is None:
            return results
        frames = exception.traceback_info.frames
        own = [frame for frame in frames if "site-packages" not in frame.file_name]
        where = f" in {own[0].file_name}, line {own[0].line_num}" if own else ""
        raise FloatingPointError(f"{str(exception).rstrip('.')}{where}")

    return raise_first


def _first_failure(failure, step, metrics):
    # A few scalars per step: selecting among whole parameters is left to the end of the call.
    bad = jnp.stack([~jnp.isfinite(metrics[name]) for name in sorted(metrics)])
    is_first = (failure.step < 0) & jnp.any(bad)
    now = Failure(step, jnp.argmax(bad).astype(jnp.int32))
    return jax.tree.map(lambda new, old: jnp.where(is_first, new, old), now, failure)


def _freeze_failed(before, after, parameters_term):
    # The last update of a call may break the parameters without a term having shown it yet.
    finite = jnp.all(jnp.array([jnp.all(jnp.isfinite(p)) for p in jax.tree.leaves(after.params)]))
    broken = (after.failure.step < 0) & ~finite
    now = Failure(after.step - 1, jnp.int32(parameters_term))
    failure = jax.tree.map(lambda new, old: jnp.where(broken, new, old), now, after.failure)
    good = failure.step < 0
    params, opt_state, ema = jax.lax.cond(
        good,
        lambda: (after.params, after.opt_state, after.ema),
        lambda: (before.params, before.opt_state, before.ema),
    )
    frozen = after._replace(params=params, opt_state=opt_state, ema=ema, failure=failure)
    return frozen, good
