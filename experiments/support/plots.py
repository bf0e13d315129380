"""The pictures of a trained member, written as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.support import grids
from experiments.support.assembly import Evaluation, Run
from experiments.support.header import describe_objective
from experiments.support.subjects import Subject, make_subject
from vae_jax import figures, training
from vae_jax.datasets import Examples


def figure_folders(run: Run) -> list[str]:
    """Return what the folders of members' pictures are called; none where there is one member."""
    return [member.file_name for member in run.members] if len(run.members) > 1 else []


def draw_members(
    folder: Path,
    run: Run,
    how_measured: Evaluation,
    state: training.TrainState,
    test: Examples,
    measured: list[dict[str, np.ndarray]],
) -> None:
    """Draw every member that did not fail; of several, each in a folder of its name."""
    for i, member in enumerate(run.members):
        if state.failure.step[i] >= 0:
            continue
        params = training.select_member(state, i).evaluation_params["vae"]
        own = folder / member.file_name if len(run.members) > 1 else folder
        subject = make_subject(run, params, how_measured.keys.pictures, test, measured[i], member)
        draw_model(own, subject)


def draw_model(folder: Path, subject: Subject) -> None:
    """Draw reconstructions and samples; of a condition, samples for each; where latents are real,
    a traversal, an interpolation and the latent means; and an overview of the first few.

    Images show the mean of p(x|z), not a draw from it; several fields are joined to one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "reconstructions": grids.reconstructions(subject),
        "samples": grids.samples(subject),
    }
    run = subject.run
    if run.is_conditional and run.dataset.given is not None:
        drawn["completions"] = grids.completions(subject)
    elif run.is_conditional and np.ndim(subject.ys) == 1:
        drawn["classes"] = grids.classes(subject)
    if run.vae.latents in ("real", "two layers"):
        drawn["traversal"] = grids.traversal(subject)
        drawn["interpolation"] = grids.interpolation(subject)
        draw_latent_means(subject).savefig(folder / "latent_means.png")
    for name, grid in drawn.items():
        figures.image_grids([grid]).savefig(folder / f"{name}.png")
    overview = grids.overview(drawn)
    figures.image_grids(overview, width=1600).savefig(folder / "overview.png")


def draw_latent_means(subject: Subject) -> Any:
    """Draw the posterior means of the test set and say how well neighbours share a label."""
    means, labels = subject.measured["posterior_mean"], subject.test.y
    title = f"Where the test {subject.noun} lie in the latent space\n"
    if labels is None or np.ndim(labels) != 1 or labels.dtype.kind not in "ui":
        return figures.latent_scatter(means, None, title + subject.caption)
    share = np.mean(labels[nearest_neighbours(means)] == labels)
    seen = "labels are never given to the model" if subject.ys is None else "the model is given it"
    title += f"{share:.0%} have a nearest neighbour of the same label ({seen})\n"
    return figures.latent_scatter(means, labels, title + subject.caption)


def nearest_neighbours(points: np.ndarray) -> np.ndarray:
    """Return the index of the nearest other point of each point."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)[:, 0]


def draw_curves(folder: Path, curves: Any, run: Run) -> None:
    """Draw ELBO, KL and reconstruction of training and validation, if there is anything of them.

    The points of a sweep have a color each.
    """
    if "train" not in curves:
        return
    folder.mkdir(parents=True, exist_ok=True)
    title = "Training: the ELBO and its two parts, ELBO = reconstruction - KL\n"
    is_sweep = len(run.points) > 1
    title += ends_of_points(curves, run.points) if is_sweep else ends_of_splits(curves)
    objective = describe_objective(run.config.objective, run.members[0])
    title += f"; {run.dataset.protocol}; {objective}"
    groups = [member.point_name for member in run.members] if is_sweep else ()
    figures.training_curves(curves, title, groups).savefig(folder / "curves.png")


def ends_of_splits(curves: Any) -> str:
    """Return the last ELBO of training and of validation, as means over the members."""
    ends = [
        f"of {name} {np.nanmean(curves[split]['elbo'][-1]):.1f}"
        for split, name in (("train", "training"), ("validation", "validation"))
        if split in curves
    ]
    count = np.shape(curves["train"]["elbo"])[1]
    of = f" (mean of {count} runs)" if count > 1 else ""
    return f"at the end: ELBO {', '.join(ends)} nats{of}"


def ends_of_points(curves: Any, points: Mapping[str, Sequence[int]], most: int = 6) -> str:
    """Return the last ELBO of each point of a sweep, the best first; of many, of some."""
    split, name = ("validation",) * 2 if "validation" in curves else ("train", "training")
    last = curves[split]["elbo"][-1]
    finite = {point: last[indices][np.isfinite(last[indices])] for point, indices in points.items()}
    means = {point: np.mean(values) for point, values in finite.items() if len(values)}
    best = sorted(means, key=means.get, reverse=True)
    listed = ", ".join(f"{point}: {means[point]:.1f}" for point in best[:most])
    which = f"{most} best of {len(points)}, " if len(points) > most else ""
    seeds = ", mean over seeds" if len(last) > len(points) else ""
    return f"ELBO of {name} at the end ({which}nats{seeds}): {listed}"
