"""The training state, the one update, and many updates in one jitted call.

Everything is written for one run (one member); `over_members` lifts it to many. The step counter
alone has no member axis, so that conditions on it stay conditions under `jax.vmap`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax import Array
from jax.experimental import checkify
import jax.numpy as jnp
from jaxtyping import Key
import optax


class Failure(NamedTuple):
    """When and in which term a run stopped being finite; both are -1 while it is."""

    step: Any
    """The first step with a NaN or an infinity."""
    term: Any
    """Index of the term in the sorted names of the metrics; after the last: the parameters."""


class TrainState(NamedTuple):
    """All that a run carries from step to step; every field but `step` has a leading member axis
    when many runs train at once."""

    step: Any
    """Number of updates done."""
    params: Any
    """{"vae": ..., "objective": ...}."""
    opt_state: Any
    hparams: Any
    """Traced numbers by name: the objective's, and "learning_rate"."""
    ema: Any
    """Exponential moving average of params, or () where it is off."""
    key: Any
    """The run's key: it never changes; every draw folds it with its purpose and step."""
    failure: Any = Failure(-1, -1)
    """A run that fails is frozen as it was at the start of that call, and marked here."""

    @property
    def evaluation_params(self) -> Any:
        """The averaged parameters where they exist, else the last ones."""
        return self.params if self.ema == () else self.ema


class RunKeys(NamedTuple):
    """One key for each purpose that a run draws for."""

    init: Any
    order: Any
    steps: Any


def run_keys(key: Key[Array, ""]) -> RunKeys:
    """Split a run's key by purpose."""
    return RunKeys(*jax.random.split(key, len(RunKeys._fields)))


def init_state(
    key: Key[Array, ""],
    hparams: Mapping[str, Any],
    vae: Any,
    objective: Any,
    optimizer: Callable[[Any], optax.GradientTransformation],
    examples: Any,
    use_ema: bool = False,
) -> TrainState:
    """Initialise one run.

    Args:
      key: the run's key.
      hparams: the objective's traced numbers and the "learning_rate".
      vae: has `init(key, examples)`.
      objective: has `init(key, vae, examples)`.
      optimizer: function of hparams that returns an optax optimizer of params.
      examples: training examples, from which initial biases are set.
      use_ema: carry an average of the parameters.
    """
    key_vae, key_objective = jax.random.split(run_keys(key).init)
    params = {
        "vae": vae.init(key_vae, examples),
        "objective": objective.init(key_objective, vae, examples),
    }
    opt_state = optimizer(hparams).init(params)
    ema = jax.tree.map(jnp.copy, params) if use_ema else ()
    failure = Failure(jnp.int32(-1), jnp.int32(-1))
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, hparams, ema, key, failure)


def make_train_step(
    vae: Any,
    objective: Any,
    optimizer: Callable[[Any], optax.GradientTransformation],
    batches: Any,
    ema_decay: float = 0.0,
) -> Callable[[TrainState, Any], tuple[TrainState, dict[str, Array]]]:
    """Make train_step(state, source) -> (state, metrics), one update of one run.

    Args:
      vae: handed to the objective's loss.
      objective: has `loss(key, vae, params, hparams, batch, step) -> (loss, metrics)`.
      optimizer: function of hparams that returns an optax optimizer of params.
      batches: has `batch(source, key, step) -> batch`.
      ema_decay: decay of the parameters' average, where the state carries one.
    """

    def train_step(state, source):
        key_step = jax.random.fold_in(run_keys(state.key).steps, state.step)
        key_batch, key_loss = jax.random.split(key_step)
        batch = batches.batch(source, key_batch, state.step)

        def loss(params):
            return objective.loss(key_loss, vae, params, state.hparams, batch, state.step)

        gradients, metrics = jax.grad(loss, has_aux=True)(state.params)
        hparams = dict(state.hparams)
        hparams["learning_rate"] = _after(gradients, hparams["learning_rate"])
        updates, opt_state = optimizer(hparams).update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema != ():
            ema = optax.incremental_update(params, ema, 1 - ema_decay)
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state, ema=ema)
        return state, metrics

    return train_step


def _after(gradients, rate):
    # Unless the update waits for the backward pass, XLA copies each weight first, lest a product of
    # that pass still needs it: a tenth of a step at batch 20. The gradient of a bias needs all that
    # came before its layer, but no product of its own.
    biases = [leaf for leaf in jax.tree.leaves(gradients) if leaf.ndim == 1]
    return rate + 0 * sum(bias[0] for bias in biases)


def make_train_steps(
    train_step: Callable[[TrainState, Any], tuple[TrainState, dict[str, Array]]],
    batches: Any,
    num_members: int = 1,
    out_shardings: Any = None,
    members_at_once: int | None = None,
    debug_nans: bool = False,
) -> Callable[[TrainState, Any, Any], tuple[TrainState, dict[str, Array]]]:
    """Make the jitted train_steps(state, source, stop) -> (state, metrics), which donates `state`.

    It trains `num_members` runs from state.step up to the step `stop`, which may be any later
    number: one compilation serves all. Metrics are means over these steps, shape (num_members,);
    those of a run that failed are NaN.

    Args:
      train_step: the update of one run.
      batches: has `steps_per_epoch` and `begin_epoch(source, key, epoch) -> source`.
      num_members: the length of the state's leading axis.
      out_shardings: of (state, metrics) on several devices, as `jax.jit` takes them.
      members_at_once: how many of them train together, the groups one after the other; None: all.
      debug_nans: find the operation that makes the first NaN; slow, and without donation.

    Raises (by the function returned, with debug_nans):
      FloatingPointError: with the operation and its line.
    """

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

    lifted = over_members(train_steps, num_members, members_at_once or num_members)
    if debug_nans:
        return _check_nans(lifted)
    return jax.jit(lifted, donate_argnums=0, out_shardings=out_shardings)


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
    # A few scalars a step: selecting among whole parameters is left to the end of the call.
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
    # `where` of each parameter would take as many small programs, each to be compiled.
    params, opt_state, ema = jax.lax.cond(
        good,
        lambda: (after.params, after.opt_state, after.ema),
        lambda: (before.params, before.opt_state, before.ema),
    )
    frozen = after._replace(params=params, opt_state=opt_state, ema=ema, failure=failure)
    return frozen, good


def member_axes() -> TrainState:
    """Return which axis of each field of a TrainState is the member axis (None: it has none)."""
    return TrainState(None, *[0] * (len(TrainState._fields) - 1))


def over_members(function: Callable, num_members: int, at_once: int) -> Callable:
    """Lift function(state, *rest) -> (state, metrics) of one run to `num_members` runs.

    Groups of `at_once` members, which divides their number, train one after the other. One member
    is unwrapped instead of mapped: a batched product over an axis of length one is about a tenth
    slower than a plain one.
    """

    def mapped(state, *rest):
        axes = member_axes()
        return jax.vmap(lambda s: function(s, *rest), in_axes=(axes,), out_axes=(axes, 0))(state)

    def unwrapped(state, *rest):
        state, metrics = function(select_member(state, 0), *rest)
        metrics = jax.tree.map(lambda leaf: leaf[None], metrics)
        step, *others = state
        return TrainState(step, *jax.tree.map(lambda leaf: leaf[None], others)), metrics

    train_group = mapped if at_once > 1 else unwrapped

    def in_turn(state, *rest):
        step, *others = state
        groups = jax.tree.map(lambda leaf: leaf.reshape(-1, at_once, *leaf.shape[1:]), others)
        trained = jax.lax.map(lambda group: train_group(TrainState(step, *group), *rest), groups)
        (steps, *others), metrics = trained
        others, metrics = jax.tree.map(
            lambda leaf: leaf.reshape(num_members, *leaf.shape[2:]), (others, metrics)
        )
        return TrainState(steps[0], *others), metrics

    return train_group if at_once == num_members else in_turn


def init_members(
    keys: Key[Array, "members"], hparams: Mapping[str, Any], *shared: Any, **options: Any
) -> TrainState:
    """Initialise as many runs as there are keys: `init_state` mapped over keys and hparams.

    Args:
      keys: one run's key a member.
      hparams: numbers, the same for all members, or arrays with one number a member.
      *shared, **options: the further arguments of `init_state`, which members share.
    """
    hparams = {
        name: jnp.broadcast_to(jnp.asarray(value, jnp.float32), keys.shape)
        for name, value in hparams.items()
    }

    def init_one(key, hparams):
        return init_state(key, hparams, *shared, **options)

    return jax.vmap(init_one, out_axes=member_axes())(keys, hparams)


def merge_members(chosen: Any, new: TrainState, old: TrainState) -> TrainState:
    """Return `new` with the fields of those members that are not `chosen` taken from `old`.

    All arrays are copies: `new` may be donated afterwards.
    """

    def merge(a, b):
        return jnp.where(chosen.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    step, *others = new
    return TrainState(jnp.copy(step), *jax.tree.map(merge, tuple(others), tuple(old[1:])))


def select_member(state: TrainState, member: int) -> TrainState:
    """Return one run's state, without the member axis."""
    step, *others = state
    return TrainState(step, *jax.tree.map(lambda leaf: leaf[member], others))
