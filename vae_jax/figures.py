"""Pictures from arrays. Every function returns a matplotlib Figure; nothing is shown or saved."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # 0.3 s: only those who draw pay

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def as_images(xs: np.ndarray) -> np.ndarray:
    """Return examples as images (examples, height, width, 1 or 3); vectors become square-ish.

    A flat vector is laid out row by row in the least square that holds it, padded with NaN.
    """
    xs = np.asarray(xs, np.float32)
    if xs.ndim == 4 and xs.shape[-1] in (1, 3):
        return xs
    if xs.ndim == 3:
        return xs[..., None]
    flat = xs.reshape(len(xs), -1)
    width = int(np.ceil(np.sqrt(flat.shape[1])))
    height = -(-flat.shape[1] // width)
    padding = ((0, 0), (0, width * height - flat.shape[1]))
    padded = np.pad(flat, padding, constant_values=np.nan)
    return padded.reshape(len(xs), height, width, 1)


def side_by_side(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join images (examples, height, width, color) from left to right, a column of NaN between.

    Lower ones are filled up with NaN below, grey ones repeated where another has colors.
    """
    height = max(part.shape[1] for part in parts)
    color = max(part.shape[3] for part in parts)
    padded = [
        np.pad(
            np.broadcast_to(part, (*part.shape[:3], color)),
            ((0, 0), (0, height - part.shape[1]), (0, 1), (0, 0)),
            constant_values=np.nan,
        )
        for part in parts
    ]
    return np.concatenate(padded, axis=2)[:, :, :-1]


def image_grid(rows: np.ndarray, title: str, row_labels: Sequence[str] = ()) -> Any:
    """Draw a grid of examples, all in one grey scale.

    Args:
      rows: shape (rows, columns, *shape of an example).
      title: above the grid.
      row_labels: one for each row, or none.
    """
    rows = np.asarray(rows)
    num_rows, num_columns = rows.shape[:2]
    images = as_images(rows.reshape(-1, *rows.shape[2:]))
    images = np.pad(images, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=np.nan)
    height, width, color = images.shape[1:]
    grid = images.reshape(num_rows, num_columns, height, width, color).swapaxes(1, 2)
    grid = grid.reshape(num_rows * height, num_columns * width, color)[:-1, :-1]
    inches = min(0.5, 10 / num_columns)
    figure = _figure(1.2 + num_columns * inches, 0.6 + num_rows * inches * height / width)
    axes = figure.add_subplot()
    axes.imshow(grid if color == 3 else grid[..., 0], cmap="gray", interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    ticks = (np.arange(len(row_labels)) + 0.5) * height - 1
    axes.set_yticks(ticks, row_labels, fontsize=7)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def latent_scatter(means: np.ndarray, labels: np.ndarray | None, title: str) -> Any:
    """Draw posterior means in the plane, by label; the first two principal axes if more than two.

    Args:
      means: shape (examples, latent).
      labels: one integer an example, or None.
      title: above the picture.
    """
    means = np.asarray(means)
    names = ["z[0]", "z[1]"]
    if means.shape[1] > 2:
        from sklearn.decomposition import PCA

        projection = PCA(2).fit(means)
        share = 100 * projection.explained_variance_ratio_
        names = [f"principal axis {i + 1} ({share[i]:.0f}% of variance)" for i in range(2)]
        means = projection.transform(means)
    across = means[:, 1] if means.shape[1] > 1 else np.zeros(len(means))
    figure = _figure(6.0, 5.0)
    axes = figure.add_subplot()
    colors = {} if labels is None else {"cmap": "tab10"}
    points = axes.scatter(means[:, 0], across, c=labels, s=6, linewidths=0, **colors)
    if labels is not None and len(np.unique(labels)) <= 10:
        axes.legend(
            *points.legend_elements(),
            title="label",
            fontsize=7,
            loc="center left",
            bbox_to_anchor=(1, 0.5),
        )
    axes.set_title(title, fontsize=9)
    axes.set(xlabel=names[0], ylabel=names[1])
    return figure


_TITLES = {
    "elbo": "ELBO",
    "kl": "KL(q(z|x) || p(z))",
    "reconstruction": "reconstruction, E log p(x|z)",
}


def training_curves(history: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Any:
    """Draw ELBO, KL and reconstruction against the step, one panel each.

    Args:
      history: {name of a curve: {"step": (points,), "elbo": (points, members), "kl": ...,
        "reconstruction": ...}}, in nats.
      title: above the panels.
    """
    figure = _figure(10.0, 3.2)
    for axes, quantity in zip(figure.subplots(1, 3), ("elbo", "kl", "reconstruction"), strict=True):
        for i, (name, curve) in enumerate(history.items()):
            lines = axes.plot(curve["step"], curve[quantity], color=f"C{i}", linewidth=1.2)
            lines[0].set_label(name)
        # The first twentieth is far off; the rest is what one looks at.
        settled = np.concatenate(
            [np.ravel(curve[quantity][len(curve[quantity]) // 20 :]) for curve in history.values()]
        )
        settled = settled[np.isfinite(settled)]
        if len(settled):
            margin = 0.05 * np.ptp(settled) + 1e-3
            axes.set_ylim(settled.min() - margin, settled.max() + margin)
        axes.set(title=_TITLES[quantity], xlabel="step", ylabel="nats")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=9)
    return figure
