"""Points in the latent plane, curves of training, and signal-to-noise ratios."""

from collections.abc import Mapping, Sequence
import contextlib
from typing import Any

import numpy as np

from vae_jax.figures.pages import LETTER, LINE, make_figure, wrap_title, write_title

# Ten colors that readers with color-vision deficiencies tell apart (Paul Tol's "muted", and
# black); the markers tell them apart without color.
PALETTE = (
    *("#332288", "#88CCEE", "#117733", "#DDCC77", "#CC6677"),
    *("#882255", "#44AA99", "#999933", "#AA4499", "#000000"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
TRAINING, VALIDATION = "#0072B2", "#D55E00"
_FEW, _MOST_NAMES = 12, 16  # points of a curve that are marked; groups in a legend


def latent_scatter(means: np.ndarray, labels: np.ndarray | None, title: str) -> Any:
    """Draw posterior means in the plane.

    Of more than two dimensions, the plane is that of Fisher's first two linear discriminants of
    three to ten labels, otherwise that of the first two principal axes. Up to ten labels have a
    color and a marker each, and stand at the median of their points; more share a scale of colors.

    Args:
      means: shape (examples, latent).
      labels: one integer per example, or None.
      title: above the picture.

    Raises:
      ValueError: labels that are not one per example.
    """
    means = np.asarray(means)
    if labels is not None and len(labels) != len(means):
        raise ValueError(f"labels must be one per example: {len(labels)} for {len(means)}")
    points, names = _in_the_plane(means, labels)
    lines = wrap_title(title, 760)
    top = 12 + LINE * len(lines)
    figure = make_figure(820, 600 + top)
    write_title(figure, lines, 0.03)
    axes = figure.add_axes((0.08, 0.09, 0.82, 0.9 - top / (600 + top)))
    _scatter(figure, axes, points, labels)
    axes.set_xlabel(names[0], fontsize=10.5)
    axes.set_ylabel(names[1], fontsize=10.5)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _in_the_plane(means: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, list[str]]:
    """Return points in the plane and what its two axes are."""
    if means.shape[1] == 1:
        return np.concatenate([means, np.zeros_like(means)], axis=1), ["z0", ""]
    if means.shape[1] == 2:
        return means, ["z0", "z1"]
    num_labels = 0 if labels is None else len(np.unique(labels))
    if 2 < num_labels <= len(PALETTE) and num_labels < len(means):
        names = [f"{each} linear discriminant of the labels" for each in ("first", "second")]
        with contextlib.suppress(np.linalg.LinAlgError):  # all points of a label are the same
            return discriminant_axes(means, labels), names
    centered = means - means.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centered, full_matrices=False)
    shares = lengths**2 / max(np.sum(lengths**2), 1e-12)
    names = [f"principal axis {i + 1} ({shares[i]:.0%} of the variance)" for i in range(2)]
    return centered @ directions[:2].T, names


def discriminant_axes(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return Fisher's first two linear discriminants of labelled points, shape (points, 2).

    They are the directions with the largest ratio of the variance of the labels' means to the
    variance within a label, in units of the latter's standard deviation.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # takes 1 s to import

    # The shrinkage is for latents that never vary.
    fisher = LinearDiscriminantAnalysis(solver="eigen", shrinkage=1e-4, n_components=2)
    return fisher.fit_transform(points - points.mean(axis=0), labels)


def _scatter(figure: Any, axes: Any, points: np.ndarray, labels: np.ndarray | None) -> None:
    if labels is None:
        axes.scatter(*points.T, s=16, linewidths=0, color=TRAINING, alpha=0.7)
        return
    if len(np.unique(labels)) > len(PALETTE):
        drawn = axes.scatter(*points.T, s=16, linewidths=0, c=labels, cmap="viridis")
        figure.colorbar(drawn, label="label")
        return
    for i, label in enumerate(np.unique(labels)):
        own, color = points[labels == label], PALETTE[i]
        style = {"color": color, "marker": MARKERS[i], "label": str(label)}
        axes.scatter(*own.T, s=26, linewidths=0, alpha=0.75, **style)
        box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": color}
        text = {"fontsize": 15, "fontweight": "bold", "bbox": box | {"linewidth": 2.5}}
        axes.text(*np.median(own, axis=0), str(label), ha="center", va="center", zorder=3, **text)
    outside = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False}
    axes.legend(title="label", fontsize=10.5, markerscale=1.5, **outside)


_CURVES = {
    "elbo": "ELBO",
    "reconstruction": "reconstruction: E log p(x|z)",
    "kl": "KL(q(z|x) || p(z))",
}
# {split: its name, color, line and marker}
_SPLITS = {
    "train": ("training", TRAINING, "-", "o"),
    "validation": ("validation", VALIDATION, "--", "D"),
}


def training_curves(
    history: Mapping[str, Mapping[str, np.ndarray]], title: str, groups: Sequence[str] = ()
) -> Any:
    """Draw ELBO, reconstruction and KL against the step, one panel each, a line per member.

    The axes show the range of the last nine tenths of the steps, since the first are far off, and
    at least two nats. Points are marked where there are few, or none beside them that a line would
    lead to.

    Args:
      history: {"train" or "validation": {"step": (points,), "elbo": (points, members),
        "reconstruction": ..., "kl": ...}}, in nats; (points,) of one model, as `fit` returns.
      title: above the panels.
      groups: the name of each member's group, each of which has a color; none: the color tells
        training from validation.
    """
    lines = wrap_title(title, 1000)
    top = 12 + LINE * len(lines)
    colors = _colors_of(list(dict.fromkeys(groups)))
    width = 1080 + (LETTER * max(map(len, colors)) + 50 if colors else 0)
    figure = make_figure(width, 340 + top)
    write_title(figure, lines, 10.8 / width)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - top / (340 + top)))
    for axes, quantity in zip(figure.subplots(1, 3), _CURVES, strict=True):
        for split, curve in history.items():
            _, color, line, marker = _split_style(split)
            values_of_members = np.reshape(curve[quantity], (np.size(curve["step"]), -1)).T
            for i, values in enumerate(values_of_members):
                style = {"color": colors[groups[i]] if groups else color, "linestyle": line}
                style |= {"linewidth": 1.8, "marker": marker, "markersize": 4}
                axes.plot(np.ravel(curve["step"]), values, markevery=_to_mark(values), **style)
        axes.set_ylim(*_settled_range(history, quantity))
        axes.set_title(_CURVES[quantity], fontsize=11)
        axes.set(xlabel="step", ylabel="nats per example")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    _write_legends(figure, history, colors)
    return figure


def _colors_of(groups: Sequence[str]) -> dict[str, Any]:
    """Return a color for each group: of the palette, or of a scale where there are more."""
    if len(groups) <= len(PALETTE):
        return dict(zip(groups, PALETTE, strict=False))
    from matplotlib import colormaps

    return dict(zip(groups, colormaps["viridis"](np.linspace(0, 0.95, len(groups))), strict=True))


def _to_mark(values: np.ndarray) -> np.ndarray:
    """Return which points of a line get a marker: all of few, otherwise those that stand alone."""
    is_known = np.pad(np.isfinite(values), 1)
    stand_alone = is_known[1:-1] & ~is_known[:-2] & ~is_known[2:]
    return np.ones_like(stand_alone) if len(values) <= _FEW else stand_alone


def _write_legends(figure: Any, history: Mapping[str, Any], colors: Mapping[str, Any]) -> None:
    """Say in the first panel which line is training, and beside the last which color is what."""
    from matplotlib.lines import Line2D

    style = {"markersize": 4, "linewidth": 1.8}
    lines = [
        Line2D([], [], label=name, color="0.3" if colors else own, ls=line, marker=marker, **style)
        for name, own, line, marker in map(_split_style, history)
    ]
    figure.axes[0].legend(handles=lines, fontsize=10, loc="lower right")
    if not colors:
        return
    shown = list(colors)[:: -(-len(colors) // _MOST_NAMES)]
    patches = [Line2D([], [], color=colors[group], linewidth=3, label=group) for group in shown]
    some = f"{len(shown)} of {len(colors)}" if len(shown) < len(colors) else None
    outside = {"loc": "outside right center", "frameon": False}
    figure.legend(handles=patches, title=some, fontsize=10, **outside)


def _split_style(split: str) -> tuple[str, str, str, str]:
    return _SPLITS.get(split, (split, "0.4", ":", "s"))


def _settled_range(history: Mapping[str, Any], quantity: str) -> tuple[float, float]:
    last = max(np.max(curve["step"]) for curve in history.values())
    settled = [
        np.ravel(np.asarray(curve[quantity])[np.ravel(curve["step"]) >= last / 10])
        for curve in history.values()
    ]
    values = np.concatenate(settled)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    margin = 0.06 * np.ptp(values)
    missing = max(0.0, 2.0 - np.ptp(values) - 2 * margin)  # noise is not drawn as if it were news
    return values.min() - margin - missing / 2, values.max() + margin + missing / 2


def signal_to_noise_curves(summary: Mapping[str, Any], title: str, noise_floor: float) -> Any:
    """Draw signal-to-noise ratios against K on logarithmic axes, a panel per block of parameters.

    Bands reach two standard errors to both sides; the legend has the slopes.

    Args:
      summary: {estimator: {block: {"num_samples": K of each point, "signal_to_noise": [{"mean",
        "standard_error"}], "slope": {"mean", "standard_error", "from": the first K}}}}; a number
        that is not known is None, and "slope" may be missing.
      title: above the panels.
      noise_floor: what an estimator without any signal would read.
    """
    blocks = list(next(iter(summary.values())))
    lines = wrap_title(title, 1000)
    height = 470 + 12 + LINE * len(lines)
    figure = make_figure(1080, height)
    write_title(figure, lines, 0.01)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - (12 + LINE * len(lines)) / height))
    for axes, block in zip(figure.subplots(1, len(blocks), squeeze=False)[0], blocks, strict=True):
        for i, (name, of_blocks) in enumerate(summary.items()):
            style = {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
            _draw_ratios(axes, of_blocks[block], name, style)
        axes.axhline(
            noise_floor,
            color="0.5",
            linestyle=":",
            label="noise floor: what no signal at all reads",
        )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_title(block, fontsize=11)
        axes.set(xlabel="K, samples per example", ylabel="signal-to-noise ratio of one gradient")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False)
    return figure


def _draw_ratios(axes: Any, numbers: Mapping[str, Any], name: str, style: Mapping[str, Any]):
    points = [each["mean"] for each in numbers["signal_to_noise"]]
    errors = [each["standard_error"] for each in numbers["signal_to_noise"]]
    mean, error = (np.array(each, float) for each in (points, errors))
    slope, label = numbers.get("slope", {"mean": None}), name
    if slope["mean"] is not None:
        spread = f"{slope['mean']:.2f} +- {slope['standard_error']:.2f}"
        label += f": slope {spread} from K = {slope['from']}"
    axes.plot(numbers["num_samples"], mean, label=label, markersize=4, linewidth=1.8, **style)
    low, high = np.maximum(mean - 2 * error, 0.2 * mean), mean + 2 * error
    axes.fill_between(numbers["num_samples"], low, high, color=style["color"], alpha=0.2, lw=0)
