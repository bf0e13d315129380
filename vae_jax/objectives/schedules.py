"""Numbers that change during training: functions of the global step and of nothing else."""

from typing import Any, NamedTuple

from jax import Array
import jax.numpy as jnp

_MOST_STEPS = 2**31 - 1  # a step is an int32


class Temperature(NamedTuple):
    """max(minimum, start exp(-decay step)), Section 4 of Jang et al. (2017).

    A start below the minimum stays as it is.
    """

    minimum: float
    decay: float

    def __call__(self, start: Any, step: Any) -> Array:
        """Return the temperature at `step`."""
        # The start is traced, and members of a sweep may differ in it.
        minimum = jnp.minimum(self.minimum, start)
        return jnp.maximum(minimum, start * jnp.exp(-self.decay * step))


class LinearWarmup(NamedTuple):
    """min(1, step / num_steps), a weight that grows from 0 to 1; 1 throughout for num_steps = 0.

    With `cycle_steps` the step counts from the start of its cycle: the weight falls back to 0 every
    so many steps.
    """

    num_steps: int
    cycle_steps: int = 0

    def __call__(self, step: Any) -> Any:
        """Return the weight at `step`."""
        if not self.num_steps:
            return 1.0
        if self.cycle_steps:
            step = step % min(self.cycle_steps, _MOST_STEPS)
        return jnp.minimum(1.0, step / float(self.num_steps))
