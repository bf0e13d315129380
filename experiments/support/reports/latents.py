"""What the latents carry: KL per dimension, dead dimensions, and the aggregate posterior.

And the rate and the distortion of every member: over a sweep, the curve that its points make.
"""

from collections.abc import Mapping
import math
from pathlib import Path
import time
from typing import Any

import jax
import numpy as np
from rich.markup import escape
from rich.table import Table

from experiments.support import console, measurement
from experiments.support.assembly import Evaluation, Run
from experiments.support.reports.content import begin, over_members
from vae_jax import datasets, evaluation, figures, models, training
from vae_jax.lookup import look_up

_MOST_SAMPLES = 100  # of z per example: enough for the mean of log p(x|z)
_MOST_EXAMPLES = 2000  # of the aggregate posterior, whose densities are as many squared
_MOST_PANELS = 8
_LABELS = {
    "elbo": "ELBO",
    "rate": "KL (rate)",
    "distortion": "distortion",
    "index_code_mi": "I(z; n)",
    "marginal_kl": "marginal KL",
}
_MEANINGS = {
    "rate": "mean KL(q(z|x) || p(z)) of the test examples, beta = 1",
    "distortion": "mean -E log p(x|z) of the test examples",
    "index_code_mi": "mutual information of z and the index n of `aggregate_examples` test "
    "examples; it cannot exceed `most_index_code_mi` = log N",
    "marginal_kl": "divergence of the aggregate posterior of these examples from the prior; null "
    "where the prior depends on a condition",
    "kl_per_dimension": "means over the test examples; null where q(z|x) and p(z) do not factorize",
    "dead": "dimensions whose posterior mean varies over examples by less than a hundredth of the "
    "prior's variance: Burda et al. (2016)",
}


def report(
    run: Run,
    how_measured: Evaluation,
    state: training.TrainState,
    workdir: Path,
    *,
    num_examples: int = _MOST_EXAMPLES,
) -> dict[str, Any]:
    """Measure every member that did not fail, draw its pictures, and return the content.

    figures/latents.png has the KL of each dimension, of up to eight members; where there are two
    points of a sweep, figures/rate_distortion.png has their rates and distortions.

    Args:
      run, how_measured, state: a trained run; `how_measured.num_samples` is the largest number of
        samples of z per example, up to 100.
      workdir: its folder.
      num_examples: test examples, the first ones, of the aggregate posterior.
    """
    how = how_measured._replace(num_samples=min(how_measured.num_samples, _MOST_SAMPLES))
    test = measurement.model_examples(run, how, "test")
    some = jax.tree.map(lambda leaf: leaf[:num_examples], test)
    count = datasets.num_examples(some)
    content: dict[str, Any] = {
        **begin(run, state),
        "test_examples": datasets.num_examples(test),
        "num_samples": how.num_samples,
        "aggregate_examples": count,
        "most_index_code_mi": math.log(count),
        "meanings": _MEANINGS,
    }
    for member, params in measurement.living_members(run, state):
        content["members"][member.name] = _measure(run, how, params, test, some, member.name)
    content["numbers"] = {
        name: over_members(content, run, lambda each, name=name: (each[name] or {}).get("mean"))
        for name in _LABELS
    }
    _draw(content, run, workdir / "figures")
    return content


def _measure(run, how, params, test, some, name):
    started = time.monotonic()
    measure = measurement.make_run_measure(run, how, how.num_samples)
    track = console.track(f"test examples ({name})", how.batch_size)
    measured = evaluation.map_examples(measure, params, test, how.batch_size, track)
    of_each = evaluation.over_examples(
        lambda params, _, example: evaluation.kl_of_each_dimension(
            run.vae.encode(params, *example), run.vae.prior(params, example[1])
        )
    )
    kl = evaluation.map_examples(of_each, params, test, how.batch_size)
    track = console.track(f"examples of the aggregate posterior ({name})", how.batch_size)
    densities = evaluation.code_densities(
        how.keys.aggregate, run.vae, params, some, how.batch_size, track
    )
    depends = look_up(models.PRIORS, run.config.vae.prior, "prior").is_conditional
    numbers = {
        "elbo": _estimate(measured["elbo"]),
        "rate": _estimate(measured["kl"]),
        "distortion": _estimate(-measured["reconstruction"]),
        "index_code_mi": _estimate(densities.index_code_mi),
        "marginal_kl": None if depends else _estimate(densities.marginal_kl),
        "kl_per_dimension": kl["kl_per_dimension"].mean(axis=0).tolist() if kl else None,
    }
    layers = [layer for layer in ("", "_upper") if f"posterior_mean{layer}" in measured]
    for layer in layers:
        is_active = evaluation.is_active(measured[f"posterior_mean{layer}"], run.vae.latents)
        numbers[f"active_units{layer}"] = int(np.sum(is_active))
        numbers[f"dead{layer}"] = np.flatnonzero(~is_active).tolist()
    return numbers | {"seconds": round(time.monotonic() - started, 1)}


def _estimate(values):
    mean, error, over = evaluation.estimate(values, "examples")
    return {"mean": mean, "standard_error": error if math.isfinite(error) else None, "over": over}


def _draw(content: Mapping[str, Any], run: Run, folder: Path) -> None:
    members = {name: each for name, each in content["members"].items() if each}
    if not members:
        return
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {name: each for name, each in members.items() if each["kl_per_dimension"]}
    if len(drawn) > _MOST_PANELS and len(run.points) > 1:  # one seed of each point
        firsts = [run.member_names[indices[0]] for indices in run.points.values()]
        drawn = {name: drawn[name] for name in firsts if name in drawn}
    if drawn:
        kl = {name: np.array(each["kl_per_dimension"]) for name, each in drawn.items()}
        active = {
            name: ~np.isin(np.arange(len(kl[name])), each["dead"]) for name, each in drawn.items()
        }
        title = f"What each latent dimension carries\n{content['protocol']}, "
        title += f"{content['test_examples']:,} test examples; mean KL(q(z_j|x) || p(z_j))"
        quantity = "KL, nats per example"
        figures.kl_bars(kl, active, quantity, title).savefig(folder / "latents.png")
    points = {
        point: [
            (members[name]["rate"]["mean"], members[name]["distortion"]["mean"])
            for name in (run.member_names[i] for i in indices)
            if name in members
        ]
        for point, indices in run.points.items()
    }
    points = {point: each for point, each in points.items() if each}
    if len(points) > 1:
        title = "What rate buys: distortion falls as the KL grows\n"
        title += f"{content['protocol']}, {content['test_examples']:,} test examples"
        figures.rate_distortion(points, title).savefig(folder / "rate_distortion.png")


def show(content: Mapping[str, Any]) -> None:
    """Print the table, a row per member, and name the dimensions that are dead."""
    title = f"{content['protocol']} (test set; nats per example; +- standard error over examples)"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for label in (*_LABELS.values(), "active"):
        table.add_column(escape(label), justify="right")
    members = content["members"]
    for name, each in members.items():
        if each is None:
            table.add_row(escape(name), "failed")
            continue
        active = "+".join(str(each[a]) for a in ("active_units", "active_units_upper") if a in each)
        table.add_row(escape(name), *(_cell(each[label]) for label in _LABELS), active)
    console.console.print(table)
    most = content["most_index_code_mi"]
    console.say(
        "KL(q(z|x) || p(z)) is I(z; n), what z tells of the example n, and the marginal KL(q(z) || "
        f"p(z)); of {content['aggregate_examples']:,} examples I(z; n) cannot exceed log N = "
        f"{most:.2f} nats"
    )
    for name, each in members.items():
        if each and each.get("dead"):
            console.say(f"dead latent dimensions of {name}: {', '.join(map(str, each['dead']))}")


def _cell(number):
    if number is None:
        return "-"
    error = number["standard_error"]
    return f"{number['mean']:.2f}" + ("" if error is None else f" +- {error:.2f}")
