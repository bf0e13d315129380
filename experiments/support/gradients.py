"""What the program `estimators` measures, and how it says it."""

from collections.abc import Callable, Mapping, Sequence
import math
from typing import Any

from rich.table import Table

from experiments.support import console
from vae_jax import datasets, evaluation, models
from vae_jax.lookup import look_up
from vae_jax.objectives import ESTIMATORS, make_objective, objectives_with

_BOUND = "iwae"
_REFERENCES = ("doubly_reparameterized", "vimco")  # the first that applies
_FIRST_OF_SLOPE = 64  # the exponents are those of large K
_QUANTITIES = {
    "signal_to_noise": "signal-to-noise",
    "variance": "variance",
    "relative_squared_bias": "bias^2 / reference^2",
}


def choose_estimators(
    vae: models.VAE, names: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """Return the estimators to measure, the reference first, and why others are left out.

    Args:
      vae: the model.
      names: those asked for; none: all that apply.

    Raises:
      ValueError: one that is asked for is unknown or does not apply.
    """
    reasons = {name: _why_not(vae, name) for name in ESTIMATORS}
    known = [name for name, reason in reasons.items() if reason is None]
    for name in names:
        look_up(ESTIMATORS, name, "estimators")
        if name not in known:
            raise ValueError(f"--estimators={name} does not apply: {reasons[name]}")
    reference = next(name for name in _REFERENCES if name in known)
    chosen = [name for name in known if name != reference and (not names or name in names)]
    left_out = {} if names else {name: reason for name, reason in reasons.items() if reason}
    return [reference, *chosen], left_out


def _why_not(vae, name):
    takers = objectives_with(name)
    if _BOUND not in takers:
        return f"it is not one of the objective {_BOUND}, but of {', '.join(takers)}"
    if vae.is_discrete and ESTIMATORS[name].is_pathwise:
        return f"discrete latents ({vae.latents}) have no gradient through their samples"
    return None


def pairs(estimators: Sequence[str], numbers: Sequence[int]) -> list[tuple[str, int]]:
    """Return every (estimator, K) for which K is enough."""
    return [
        (name, number)
        for number in numbers
        for name in estimators
        if number >= ESTIMATORS[name].least_samples
    ]


def make_loss(
    vae: models.VAE,
    estimator: str,
    num_samples: int,
    chunk_size: int,
    key: Any,
    examples: datasets.Examples,
) -> Callable:
    """Make loss(key, params, batch), minus the importance-weighted bound in nats.

    Args:
      vae: the model.
      estimator: of the gradient.
      num_samples: K.
      chunk_size: samples whose gradient is computed at once.
      key: of what the estimator learns for itself, which is as it starts.
      examples: some, for its shapes.
    """
    chunk_size = chunk_size if num_samples % chunk_size == 0 else 0
    objective = make_objective(
        _BOUND, num_samples=num_samples, estimator=estimator, chunk_size=chunk_size
    )
    own = objective.init(key, vae, examples)

    def loss(key, params, batch):
        both = {"vae": params, "objective": own}
        return objective.loss(key, vae, both, objective.hparams, batch, 0)[0]

    return loss


def summarize(
    moments: Mapping[tuple[str, int, str], evaluation.GradientMoments], estimators: Sequence[str]
) -> dict[str, Any]:
    """Return {estimator: {block: its numbers for each K}}, each with its standard error.

    The signal of an estimator without bias is the mean of the reference, which is the first of
    `estimators`; that of others their own mean.
    """
    summary: dict[str, Any] = {name: {} for name in estimators}
    for name, _, block in moments:
        if block not in summary[name]:
            summary[name][block] = _summarize_block(moments, name, block, estimators[0])
    return summary


def _summarize_block(moments, name, block, reference):
    own = {k: each for (n, k, b), each in moments.items() if (n, b) == (name, block)}
    references = {k: moments.get((reference, k, block)) for k in own}
    is_unbiased = ESTIMATORS[name].is_unbiased
    signals = {k: references[k] if is_unbiased else None for k in own}
    biases = {k: name != reference and references[k] is not None for k in own}
    numbers = {
        "signal_to_noise": [evaluation.signal_to_noise(own[k], signals[k]) for k in own],
        "variance": [evaluation.mean_variance(own[k]) for k in own],
        "relative_squared_bias": [
            evaluation.relative_squared_bias(own[k], references[k]) if biases[k] else None
            for k in own
        ],
    }
    ks = [k for k in own if k >= _FIRST_OF_SLOPE]
    ks = ks if len(ks) > 1 else list(own)
    described = {quantity: list(map(_describe, each)) for quantity, each in numbers.items()}
    described |= {"num_samples": list(own), "parameters": next(iter(own.values())).means.shape[1]}
    if len(ks) > 1:
        slope = evaluation.slope_of_signal_to_noise(
            ks, [own[k] for k in ks], [signals[k] for k in ks]
        )
        described["slope"] = _describe(slope) | {"from": ks[0]}
    return described


def _describe(estimate):
    if estimate is None:
        return None
    numbers = {"mean": estimate.mean, "standard_error": estimate.standard_error}
    return {name: each if math.isfinite(each) else None for name, each in numbers.items()}


def print_tables(context: Mapping[str, Any], summary: Mapping[str, Any]) -> None:
    """Print the numbers of each estimator for each K, a table per block of parameters."""
    for block in next(iter(summary.values())):
        title = (
            f"{block}: gradients of the importance-weighted bound of {context['examples']} test "
            f"examples, {context['replicates']} replicates; reference: {context['reference']}"
        )
        table = Table(title=title, title_justify="left")
        table.add_column("estimator")
        for column in ("K", *_QUANTITIES.values()):
            table.add_column(column, justify="right")
        for name, of_blocks in summary.items():
            _add_rows(table, name, of_blocks[block])
        console.console.print(table)


def _add_rows(table, name, numbers):
    table.add_section()
    for i, number in enumerate(numbers["num_samples"]):
        cells = [_cell(numbers[quantity][i]) for quantity in _QUANTITIES]
        table.add_row(name if not i else "", str(number), *cells)
    if "slope" in numbers:
        slope = numbers["slope"]
        table.add_row("", f"slope of logarithms, K >= {slope['from']}", _cell(slope))


def _cell(number):
    if number is None or number["mean"] is None:
        return "-"
    error = number["standard_error"]
    return f"{number['mean']:.3g}" + ("" if error is None else f" +- {error:.2g}")


def title_of(context: Mapping[str, Any]) -> str:
    """Return the title of the picture."""
    return (
        "Signal-to-noise ratio of gradient estimators against the number of samples K\n"
        f"importance-weighted bound of {context['examples']} test examples; {context['protocol']}; "
        f"{context['replicates']} replicates; bands: two standard errors"
    )
