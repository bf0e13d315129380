"""How likely the test examples are, how sure that number is, and how tight the ELBO.

-log p(x) by importance sampling at several K from one pass, with its diagnostics; by annealed
importance sampling on some of the images, and from both sides on data that the model itself drew;
and log p(x) - ELBO, split into approximation and amortization gap.

Cost: 80 s of CPU time (150 s on two busy cores) for configs/default.py, half of it for the data of
the model; it grows with chains x temperatures x leapfrog steps x images.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.support import console, measurement
from experiments.support.assembly import Evaluation, Run
from experiments.support.reports.content import begin, finite, over_members
from vae_jax import datasets, evaluation, figures, training
from vae_jax.evaluation import Annealing, Search, Spread
from vae_jax.evaluation.annealing import LATENTS

_SIZES = (1, 10, 100, 1000, 5000)
_MEANINGS = {
    "nll": "minus an importance-weighted bound: an upper bound of -log p(x) in expectation; for K "
    "below the largest, the mean over disjoint groups of the same samples",
    "jackknife": "an estimate of -log p(x), not a bound: first order, Nowozin (2018)",
    "annealed": "annealed importance sampling on `images` test examples: an upper bound of "
    "-log p(x) in expectation; `less_than_nll` is how far it is below that of the largest K on the "
    "same images",
    "simulated": "data drawn from the model, on which log p(x) lies between `lower` and `upper` in "
    "expectation: bidirectional Monte Carlo, Grosse et al. (2015)",
    "total_gap": "log p(x) - ELBO = KL(q(z|x) || p(z|x)): a lower bound of it in expectation",
    "amortization_gap": "ELBO of the best q found - ELBO: a lower bound of it in expectation",
    "approximation_gap": "log p(x) - ELBO of the best q found: its errors have both signs",
    "standard_error_over_examples": "of the mean over other examples; contains the noise of z",
    "standard_error_over_samples": "of the mean over other draws of z for these examples",
}


class _Member(NamedTuple):
    run: Run
    how: Evaluation
    params: Any
    name: str

    def map(self, batched: Callable, params: Any, examples: Any, what: str, per_example: int = 1):
        """Return batched(params, indices, examples) of all examples, with a progress bar.

        So few at once that the samples of all, `per_example` each, are not more than those of a
        chunk of the evaluation.
        """
        at_once = max(1, self.how.batch_size * self.how.chunk_size // per_example)
        batch_size = min(self.how.batch_size, at_once)
        track = console.track(f"{what} ({self.name})", batch_size)
        return evaluation.map_examples(batched, params, examples, batch_size, track)


def report(
    run: Run,
    how_measured: Evaluation,
    state: training.TrainState,
    workdir: Path,
    *,
    num_images: int = 100,
    elbo_samples: int = 500,
    annealing: Annealing = Annealing(),  # noqa: B008 - a tuple of numbers
    search: Search = Search(),  # noqa: B008
) -> dict[str, Any]:
    """Measure every member that did not fail, draw figures/likelihood.png, return the content.

    Numbers are in nats per example, means over examples, with two standard errors each. Latents
    that annealing cannot move, or a family of q(z|x) in which no best one is searched, leave out
    those numbers and say why.

    Args:
      run, how_measured, state: a trained run; `how_measured.num_samples` is the largest K.
      workdir: its folder.
      num_images: test examples, evenly spaced, for the annealed chains and the gaps.
      elbo_samples: samples of z for each ELBO of the gaps.
      annealing: how the annealed chains run.
      search: of the best q(z|x) of an example.

    Raises:
      ValueError: settings of the chains that are not possible.
    """
    if run.vae.latents in LATENTS:
        evaluation.check_annealing(run.vae, annealing)
    test = measurement.model_examples(run, how_measured, "test")
    count = datasets.num_examples(test)
    images = np.unique(np.linspace(0, count - 1, min(num_images, count)).astype(int))
    content: dict[str, Any] = {
        **begin(run, state),
        "test_examples": count,
        "num_samples": _sizes_up_to(how_measured.num_samples),
        "images": len(images),
        "elbo_samples": elbo_samples,
        "annealing": annealing._asdict(),
        "search": search._asdict(),
        "meanings": _MEANINGS,
    }
    for each, params in measurement.living_members(run, state):
        member = _Member(run, how_measured, params, each.name)
        numbers = _measure(member, test, images, elbo_samples, annealing, search)
        content["members"][each.name] = numbers
    content["numbers"] = {name: over_members(content, run, mean) for name, mean in _MEANS.items()}
    _draw(content, workdir / "figures")
    return content


# {name: a number of one member, of the largest K}
_MEANS = {
    "nll": lambda numbers: numbers["nll"][-1]["mean"],
    "jackknife": lambda numbers: numbers["jackknife"][-1]["mean"],
    "annealed": lambda numbers: numbers["annealed"].get("nll", {}).get("mean"),
    "total_gap": lambda numbers: numbers["gaps"]["total_gap"]["mean"],
}


def _measure(member, test, images, elbo_samples, annealing, search):
    # All numbers of one member; `seconds` says what each part took.
    sizes = _sizes_up_to(member.how.num_samples)
    some = jax.tree.map(lambda leaf: leaf[images], test)
    seconds, started = {}, time.monotonic()

    def lap(part):
        nonlocal started
        seconds[part], started = round(time.monotonic() - started, 1), time.monotonic()

    measured = _weigh(member, test, sizes)
    numbers = _summarize_weights(measured, sizes)
    lap("importance_sampling")
    by_weights = Spread(measured["bound"][images, -1], measured["bound_variance"][images, -1])
    annealed, by_chains = _anneal(member, some, by_weights, annealing)
    lap("annealing")
    simulated = _hold_between(member, some, annealing)
    lap("simulated")
    # Of two lower bounds in expectation, the one that is tighter on these images.
    is_tighter = by_chains is not None and by_chains.value.mean() > by_weights.value.mean()
    numbers |= {
        "annealed": annealed,
        "simulated": simulated,
        "gaps": {"log_likelihood_by": "annealing" if is_tighter else "importance sampling"}
        | _gaps(member, some, by_chains if is_tighter else by_weights, elbo_samples, search),
    }
    lap("gaps")
    return finite(numbers | {"seconds": seconds})


def _sizes_up_to(num_samples):
    return [*(size for size in _SIZES if size < num_samples), num_samples]


def _weigh(member, test, sizes):
    # Of the log-weights, only a batch is kept at a time.
    log_weights = evaluation.make_log_weights(
        member.run.vae, member.how.keys, sizes[-1], member.how.chunk_size
    )

    def weigh(params, indices, examples):
        drawn = jax.device_get(log_weights(params, indices, examples))
        return evaluation.diagnose(drawn["log_weights"], sizes) | {"elbo": drawn["elbo"]}

    return member.map(weigh, member.params, test, f"{sizes[-1]} importance samples")


def _summarize_weights(measured, sizes):
    def at_each_size(name):
        columns = zip(sizes, measured[name].T, measured[f"{name}_variance"].T, strict=True)
        return [{"num_samples": k} | _negative_mean(Spread(v, var)) for k, v, var in columns]

    ks, threshold = measured["pareto_k"], evaluation.largest_reliable_k(sizes[-1])
    sample_sizes = measured["effective_sample_size"]
    elbo = evaluation.estimate(measured["elbo"], "examples")
    return {
        "elbo": {"mean": elbo.mean, "standard_error_over_examples": elbo.standard_error},
        "nll": at_each_size("bound"),
        "jackknife": at_each_size("jackknife"),
        "effective_sample_size": {
            "median": float(np.median(sample_sizes)),
            "smallest": float(np.min(sample_sizes)),
        },
        "pareto_k": {
            "median": float(np.median(ks)),
            "largest": float(np.max(ks)),
            "threshold": threshold,
            "share_above_threshold": float(np.mean(ks > threshold)),
        },
    }


def _negative_mean(spread):
    return evaluation.mean_over_examples(spread._replace(value=-spread.value))


def _anneal(member, some, by_weights, annealing):
    # What is reported of annealed chains, and log p(x) of each image by them.
    try:
        annealed = evaluation.make_annealed(member.run.vae, annealing)
    except ValueError as error:
        return {"left_out": str(error)}, None
    given = (member.params, member.how.keys.annealing)
    chains = member.map(annealed, given, some, "annealed chains", annealing.num_chains)
    spread = _of_chains(chains["log_weights"])
    difference = Spread(
        spread.value - by_weights.value, spread.variance + np.nan_to_num(by_weights.variance)
    )
    return {
        "nll": _negative_mean(spread),
        "less_than_nll": evaluation.mean_over_examples(difference),
        "acceptance": float(np.mean(chains["acceptance"])),
    }, spread


def _of_chains(log_weights):
    log_weights = np.asarray(log_weights, np.float64)
    return evaluation.over_groups(
        evaluation.importance_weighted_bounds, log_weights, log_weights.shape[1]
    )


def _hold_between(member, some, annealing):
    try:
        bidirectional = evaluation.make_bidirectional(member.run.vae, annealing)
    except ValueError as error:
        return {"left_out": str(error)}
    given = (member.params, member.how.keys.simulation)
    chains = member.map(bidirectional, given, some, "chains of both ways", annealing.num_chains)
    lower, back = (_of_chains(chains[f"{way}log_weights"]) for way in ("", "reverse_"))
    upper = back._replace(value=-back.value)
    width = Spread(upper.value - lower.value, upper.variance + lower.variance)
    means = {"lower": lower, "upper": upper, "width": width}
    return {name: evaluation.mean_over_examples(each) for name, each in means.items()}


def _gaps(member, some, log_likelihood, elbo_samples, search):
    vae, chunk_size = member.run.vae, member.how.chunk_size
    reason = None
    try:
        first = jax.tree.map(lambda leaf: leaf[0], some)
        evaluation.coordinates_of(evaluation.family_of(vae, member.params, first))
    except ValueError as error:
        search, reason = None, {"left_out": str(error)}
    tightness = evaluation.make_tightness(vae, search, elbo_samples, chunk_size)
    given = (member.params, member.how.keys.tightness)
    told = member.map(tightness, given, some, "gaps of the ELBO", chunk_size)

    def below_log_likelihood(name):
        value = log_likelihood.value - told[name]
        return Spread(value, np.nan_to_num(log_likelihood.variance) + told[f"{name}_variance"])

    gaps = {"total_gap": below_log_likelihood("elbo")}
    if search is not None:
        own = told["amortization_gap"], told["amortization_gap_variance"]
        gaps["amortization_gap"] = Spread(*own)
        gaps["approximation_gap"] = below_log_likelihood("best_elbo")
    means = {name: evaluation.mean_over_examples(each) for name, each in gaps.items()}
    return means | (reason or {})


def _draw(content: Mapping[str, Any], folder: Path) -> None:
    members = {name: each for name, each in content["members"].items() if each is not None}
    if not members:
        return
    folder.mkdir(parents=True, exist_ok=True)
    first = next(iter(members.values()))
    error = first["nll"][-1]["standard_error_over_examples"]
    over = f"; other examples move all of them together, by a standard error of {error or 0:.2f}"
    title = (
        "-log p(x) by importance sampling, and what stands beside it\n"
        f"{content['protocol']}, {content['test_examples']:,} test examples, step "
        f"{content['step']:,}\nerror bars: two standard errors over samples of z"
        f"{over if error is not None else ''} nats\nannealed importance sampling: its mean "
        f"difference to the largest K on {content['images']} of the examples, and two standard "
        "errors over them"
    )
    figures.likelihood_curves(members, title).savefig(folder / "likelihood.png")
