"""What the contents of all reports have in common."""

from collections.abc import Callable, Mapping
import math
from typing import Any

from experiments.support import run_folder
from experiments.support.assembly import Run
from vae_jax import training


def begin(run: Run, state: training.TrainState) -> dict[str, Any]:
    """Return what a report says of its run; "members" has None for each, as if all had failed."""
    return {
        "protocol": run.dataset.protocol,
        "step": int(state.step),
        "evaluation_seed": run.config.evaluation.seed,
        "seeds": [member.seed for member in run.members],
        "members": dict.fromkeys(run.member_names),
    }


def over_members(
    content: Mapping[str, Any], run: Run, mean: Callable[[Mapping[str, Any]], float | None]
) -> Any:
    """Return a number of every member, of several with the mean of each point of the sweep.

    Args:
      content: of the report.
      run: the run.
      mean: returns the number from what the content has of a member, or None where there is none.
    """
    found = [mean(each) if each else None for each in content["members"].values()]
    values = [math.nan if each is None else each for each in found]
    return run_folder.describe(values, run.points)


def finite(value: Any) -> Any:
    """Return a content with None for NaN and infinite numbers, which JSON does not know."""
    if isinstance(value, Mapping):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
