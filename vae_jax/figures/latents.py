"""What the dimensions of z carry, and what a bound's rate buys."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vae_jax.figures.charts import MARKERS, PALETTE, TRAINING, VALIDATION
from vae_jax.figures.pages import LINE, make_figure, wrap_title, write_title

_MOST_PANELS = 8


def kl_bars(
    kl: Mapping[str, np.ndarray], active: Mapping[str, np.ndarray], quantity: str, title: str
) -> Any:
    """Draw a number of each latent dimension as bars, the largest first, a panel per member.

    Bars of dimensions that are not active are orange.

    Args:
      kl: {member: one number per dimension}, such as the KL in nats; the first eight are drawn.
      active: {member: whether each dimension is active}.
      quantity: what the numbers are, for the axis.
      title: above the panels.
    """
    shown = list(kl)[:_MOST_PANELS]
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    width = max(560, 300 * columns)
    lines = wrap_title(title, width - 60)
    top = 12 + LINE * len(lines)
    figure = make_figure(width, 260 * rows + 40 + top)
    write_title(figure, lines, 0.02)
    share = top / (260 * rows + 40 + top)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - share))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, name in zip(panels.flat, shown, strict=False):
        order = np.argsort(-np.asarray(kl[name]))
        _draw_bars(axes, np.asarray(kl[name])[order], np.asarray(active[name])[order], order)
        counts = f"{np.sum(active[name])} of {len(order)} active"
        axes.set_title(f"{name}: {counts}" if len(shown) > 1 else counts, fontsize=10)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    panels[0, 0].set_ylabel(quantity)
    return figure


def _draw_bars(axes: Any, values: np.ndarray, is_active: np.ndarray, order: np.ndarray) -> None:
    places = np.arange(len(values))
    axes.bar(places, values, color=np.where(is_active, TRAINING, VALIDATION))
    every = -(-len(values) // 20)
    axes.set_xticks(places[::every], [str(i) for i in order[::every]], fontsize=9)
    axes.set_xlabel("latent dimension", fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def rate_distortion(points: Mapping[str, Sequence[tuple[float, float]]], title: str) -> Any:
    """Draw the rate E KL(q(z|x) || p(z)) against the distortion -E log p(x|z), in nats.

    Grey lines join points of the same ELBO = -(rate + distortion): lower left is better. A line
    joins the means of the points, in the order of their rates. Alemi et al. (2018), Figure 1.

    Args:
      points: {name of a point of a sweep: (rate, distortion) of each of its members}.
      title: above the picture.
    """
    lines = wrap_title(title, 740)
    top = 12 + LINE * len(lines)
    figure = make_figure(820, 520 + top)
    write_title(figure, lines, 0.02)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - top / (520 + top)))
    axes = figure.subplots()
    means = np.array([np.mean(each, axis=0) for each in points.values()])
    axes.plot(*means[np.argsort(means[:, 0])].T, color="0.3", linewidth=1.2, zorder=1)
    for i, (name, each) in enumerate(points.items()):
        style = {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        axes.scatter(*np.transpose(each), s=48, label=name, zorder=2, **style)
    _draw_equal_elbos(axes)
    axes.set_xlabel("rate: KL(q(z|x) || p(z)), nats per example")
    axes.set_ylabel("distortion: -E log p(x|z), nats per example")
    outside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "frameon": False}
    axes.legend(fontsize=9.5, **outside)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_equal_elbos(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.margins(0.12)
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    for total in MaxNLocator(7).tick_values(left + low, right + high):
        rates = np.array([max(left, total - high), min(right, total - low)])
        if rates[0] >= rates[1]:
            continue
        axes.plot(rates, total - rates, color="0.8", linewidth=0.9, zorder=0)
        axes.text(
            rates[1], total - rates[1], f" ELBO {-total:g}", fontsize=8, color="0.45", va="bottom",
            ha="right",
        )  # fmt: skip
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
