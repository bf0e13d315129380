"""How disentangled the codes (posterior means) are: scores against the factors of the data set.

Examples are drawn from the whole data set, its training examples too, as the papers do.
"""

from collections.abc import Mapping, Sequence
import importlib.metadata
from pathlib import Path
import time
from typing import Any

import jax
import numpy as np
from rich.markup import escape
from rich.table import Table

from experiments.support import console, grids, measurement
from experiments.support.assembly import Evaluation, Run
from experiments.support.codes import draw_examples, encode
from experiments.support.reports.content import begin, finite, over_members
from experiments.support.subjects import make_subject
from vae_jax import datasets, evaluation, figures, training
from vae_jax.evaluation import disentanglement
from vae_jax.lookup import look_up

_EXAMPLES = 15_000  # 10,000 to fit estimators to and 5,000 held out, of both protocols
_PURPOSE = 0x64697365  # apart from the indices of examples that keys.codes is folded with
_PICTURED = 500  # examples whose KL the picture states
_LEAST_SHARE = 0.05  # of a factor's entropy; below, a code carries no factor
_MOST_COLUMNS = 4  # members with a column of their own
_LABELS = {
    "beta_vae": "BetaVAE",
    "factor_vae": "FactorVAE",
    "mig": "MIG",
    "dci_disentanglement": "DCI disentanglement",
    "dci_completeness": "DCI completeness",
    "dci_informativeness": "DCI informativeness",
    "sap": "SAP",
    "modularity": "modularity",
    "explicitness": "explicitness",
    "irs": "IRS",
    "gaussian_total_correlation": "Gaussian total correlation (nats)",
    "gaussian_wasserstein_correlation": "Gaussian Wasserstein correlation",
    "gaussian_wasserstein_correlation_normalized": "  divided by the total variance",
    "mutual_information_of_codes": "mutual information of two codes (nats)",
}
_MEANING = (
    "scores of posterior means: from beta_vae to irs larger is more disentangled, of the others "
    "smaller is more independent. Standard errors are over what `over` names, without refitting; "
    "null where the score belongs to the fit itself, whose spread over fits is not measured"
)


def report(
    run: Run,
    how_measured: Evaluation,
    state: training.TrainState,
    workdir: Path,
    *,
    protocol: str = "quick",
    leave_out: str = "",
) -> dict[str, Any]:
    """Score every member that did not fail, draw figures/factor_traversal.png, return the content.

    Args:
      run, how_measured, state: a trained run.
      workdir: its folder.
      protocol: "quick" or "full", the papers' numbers: a row of `disentanglement.PROTOCOLS`.
      leave_out: names of factors that do not enter, with commas between; those of one value never
        do.

    Raises:
      ValueError: a data set without factors or with too few examples, latents that are no vector,
        an unknown protocol or factor, or codes of no member that can be scored.
    """
    options = look_up(disentanglement.PROTOCOLS, protocol, "protocol")
    key_draw, key_metrics = jax.random.split(jax.random.fold_in(how_measured.keys.codes, _PURPOSE))
    stored, factors = draw_examples(run.dataset, key_draw, _EXAMPLES)
    sizes = {factor.name: factor.size for factor in run.dataset.factors}
    columns, left_out = disentanglement.choose_factors(
        sizes, [name.strip() for name in leave_out.split(",") if name.strip()]
    )
    examples = measurement.model_test_examples(run, how_measured, stored)
    content = {
        **begin(run, state),
        "metrics_protocol": protocol,
        "examples": len(factors),
        "drawn_from": "the whole data set",
        "factors": [name for name in sizes if name not in left_out],
        "left_out": left_out,
        "meaning": _MEANING,
        "versions": {"scikit-learn": importlib.metadata.version("scikit-learn")},
        "not_scored": {},
    }
    for member, params in measurement.living_members(run, state):
        name = member.name
        started = time.monotonic()
        codes = encode(run, how_measured, params, examples, name)
        seconds = {"encoding": time.monotonic() - started}
        try:
            disentanglement.check(codes, factors[:, columns])
        except ValueError as error:
            content["not_scored"][name] = str(error)
            continue
        numbers = measure(key_metrics, codes, factors[:, columns], options, seconds)
        content["members"][name] = numbers
        folder = workdir / "figures" / (member.file_name if len(run.members) > 1 else "")
        draw(folder, run, how_measured, params, examples, member, content)
    if not any(content["members"].values()):
        reasons = [f"{name}: {why}" for name, why in content["not_scored"].items()]
        raise ValueError([*reasons, "every member of this run failed: none is left to score"][0])
    scored = next(each["scores"] for each in content["members"].values() if each)
    return content | {
        "scores": {
            name: over_members(content, run, lambda each, name=name: each["scores"][name]["mean"])
            for name in scored
        }
    }


def measure(
    key: Any,
    codes: np.ndarray,
    factors: np.ndarray,
    options: Mapping[str, Mapping[str, Any]],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Return all scores of the codes of one member, what each code carries, and the seconds."""
    keys = jax.random.split(key, len(disentanglement.METRICS))
    scores = {}
    for own, metric in zip(keys, disentanglement.METRICS, strict=True):
        started = time.monotonic()
        measured = disentanglement.measure(metric, own, codes, factors, **options.get(metric, {}))
        scores |= {name: finite(each._asdict()) for name, each in measured.items()}
        seconds[metric] = time.monotonic() - started
    shares = disentanglement.shares(codes, factors)
    return {
        "scores": scores,
        "shares": np.round(shares, 4).tolist(),
        "seconds": {name: round(each, 1) for name, each in seconds.items()},
    }


def carried(shares: np.ndarray, factors: Sequence[str]) -> list[tuple[int, str, bool]]:
    """Return (code, what it carries, whether that is nothing) in the order of the factors.

    A code carries the factor of which it tells most, I(code; factor) / H(factor).
    """
    best, most = np.argmax(shares, axis=1), np.max(shares, axis=1)
    is_idle = most < _LEAST_SHARE
    order = np.lexsort((np.where(is_idle, 0, -most), np.where(is_idle, 0, best), is_idle))
    words = [f"{factors[best[i]]} {most[i]:.0%}" for i in range(len(best))]
    return [(int(i), "no factor" if is_idle[i] else words[i], bool(is_idle[i])) for i in order]


def draw(
    folder: Path,
    run: Run,
    how: Evaluation,
    params: Any,
    examples: datasets.Examples,
    member: Any,
    content: Mapping[str, Any],
) -> None:
    """Draw a traversal of one member whose rows are named by the factor that each latent carries.

    It is left out where latents are not real: no range is known to vary them over.
    """
    if run.vae.latents not in ("real", "two layers"):
        return
    some = jax.tree.map(lambda leaf: leaf[:: len(leaf) // _PICTURED], examples)
    [measured] = [
        evaluation.map_examples(
            measurement.make_run_measure(run, how, num_samples=1), params, some, how.batch_size
        )
    ]
    subject = make_subject(run, params, how.keys.pictures, some, measured, member)
    numbers = content["members"][member.name]
    named = ("mig", "factor_vae", "dci_disentanglement")
    scores = ", ".join(f"{_LABELS[name]} {numbers['scores'][name]['mean']:.2f}" for name in named)
    rows = carried(np.array(numbers["shares"]), content["factors"])
    title = f"Which factor each latent carries\n{scores}; %: I(mean of z; factor) / H(factor)"
    grid = grids.vary_latents(subject, rows, title)
    folder.mkdir(parents=True, exist_ok=True)
    figures.image_grids([grid]).savefig(folder / "factor_traversal.png")


def show(content: Mapping[str, Any]) -> None:
    """Print the scores: a column per member (of a few), and the mean over seeds of each point."""
    members = {name: each for name, each in content["members"].items() if each}
    names = list(next(iter(members.values()))["scores"])
    columns = {name: each["scores"] for name, each in members.items()}
    if len(content["members"]) > 1:
        points = content["scores"]["mig"]["points"]
        of_points = {
            f"{point}, over seeds": {
                name: content["scores"][name]["points"][point] for name in names
            }
            for point in points
        }
        columns = (columns if len(members) <= _MOST_COLUMNS else {}) | of_points
    console.say(
        f"{content['protocol']}: {content['metrics_protocol']} protocol, "
        f"{content['examples']:,} examples, factors {', '.join(content['factors'])}"
    )
    table = Table()
    table.add_column("")
    for name in columns:
        table.add_column(escape(name), justify="right")
    for name in names:
        table.add_row(_LABELS[name], *(_cell(each[name]) for each in columns.values()))
    console.console.print(table)
    for name, why in content["left_out"].items():
        console.say(f"factor {name} is left out: {why}")
    for name, why in content["not_scored"].items():
        console.say(f"{name} is not scored: {why}")
    seconds = [each["seconds"] for each in members.values()]
    total, trees = sum(sum(each.values()) for each in seconds), sum(each["dci"] for each in seconds)
    console.say(f"{total:.0f} seconds, {trees:.0f} of them for the trees of DCI")


def _cell(estimate):
    if estimate["mean"] is None:
        return "-"
    error = estimate["standard_error"]
    return f"{estimate['mean']:.3f}" + ("" if error is None else f" +- {error:.3f}")
