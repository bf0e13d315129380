"""-log p(x) against the number of importance samples, and what stands beside it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_jax.figures.charts import MARKERS, PALETTE
from vae_jax.figures.pages import LINE, make_figure, wrap_title, write_title

_PLACE = 3  # of what has no K, in units of the largest


def likelihood_curves(members: Mapping[str, Mapping[str, Any]], title: str) -> Any:
    """Draw -log p(x) of each member against K, the number of samples, on a logarithmic axis.

    Beside the bound: the jackknife, dashed; minus the ELBO, a dotted line; and right of the largest
    K the value of annealed importance sampling, where there is one. Error bars reach two standard
    errors over samples to both sides.

    Args:
      members: {name: {"nll", "jackknife": [{"num_samples", "mean", "standard_error_over_samples"}],
        "elbo": {"mean"}, "annealed": {"less_than_nll": {"mean", ...}} or without it}}, in nats; a
        number that is not known is None.
      title: above the picture.
    """
    lines = wrap_title(title, 860)
    top = 12 + LINE * len(lines)
    figure = make_figure(900, 480 + top)
    write_title(figure, lines, 0.012)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - top / (480 + top)))
    axes = figure.subplots()
    for i, (name, numbers) in enumerate(members.items()):
        style = {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        _draw_member(axes, numbers, name if len(members) > 1 else "", style)
    sizes = [each["num_samples"] for each in next(iter(members.values()))["nll"]]
    axes.set_xscale("log")
    axes.set_xticks([*sizes, _PLACE * sizes[-1]], [*(f"{size:,}" for size in sizes), "annealed"])
    axes.minorticks_off()
    axes.set(xlabel="K, importance samples per example", ylabel="-log p(x), nats per example")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=9.5, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _draw_member(axes: Any, numbers: Mapping[str, Any], name: str, style: dict[str, Any]) -> None:
    label = f"{name}: " if name else ""
    bars = {"capsize": 3, "markersize": 5, "linewidth": 1.8} | style
    sizes, means, errors = _points(numbers["nll"])
    axes.errorbar(sizes, means, errors, label=f"{label}importance-weighted bound", **bars)
    corrected = _points(numbers["jackknife"])
    hollow = {"linestyle": "--", "markerfacecolor": "white", "alpha": 0.8}
    axes.errorbar(*corrected, label=f"{label}jackknife", **bars | hollow)
    dotted = {"color": style["color"], "linestyle": ":", "linewidth": 1.5}
    axes.axhline(-numbers["elbo"]["mean"], label=f"{label}-ELBO", **dotted)
    if "less_than_nll" not in numbers["annealed"]:
        return
    lower = numbers["annealed"]["less_than_nll"]
    place, error = _PLACE * sizes[-1], 2 * (lower["standard_error_over_examples"] or 0)
    star = {"linestyle": "", "marker": "*", "markersize": 11}
    axes.errorbar(place, means[-1] - lower["mean"], error, label=f"{label}annealed", **bars | star)


def _points(numbers: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    known = [each for each in numbers if each["mean"] is not None]
    sizes = np.array([each["num_samples"] for each in known])
    means = np.array([each["mean"] for each in known])
    errors = np.array([each["standard_error_over_samples"] or 0 for each in known])
    return sizes, means, 2 * errors
