"""The report of likelihood and tightness: its numbers, its table and its picture."""

import json

import pytest

from experiments.support.loading import load_run
from experiments.support.reports import likelihood, likelihood_table
from vae_jax import figures
from vae_jax.evaluation import Annealing, Search

NUMBER = {"mean": 2.0, "standard_error_over_examples": 0.5, "standard_error_over_samples": 0.125}
MEMBER = {
    "elbo": {"mean": -98.0, "standard_error_over_examples": 1.0},
    "nll": [NUMBER | {"num_samples": k, "mean": 90 + 1 / k} for k in (1, 10, 5000)],
    "jackknife": [
        NUMBER | {"num_samples": k, "mean": None if k == 1 else 90.0} for k in (1, 10, 5000)
    ],
    "effective_sample_size": {"median": 20.0, "smallest": 1.5},
    "pareto_k": {"median": 0.6, "largest": 1.5, "threshold": 0.7, "share_above_threshold": 0.25},
    "annealed": {"nll": NUMBER, "less_than_nll": NUMBER, "acceptance": 0.65},
    "simulated": {"lower": NUMBER, "upper": NUMBER, "width": NUMBER},
    "gaps": {"total_gap": NUMBER, "approximation_gap": NUMBER, "amortization_gap": NUMBER},
    "seconds": {"importance_sampling": 3.0, "gaps": 4.0},
}
# A model whose latents the chains cannot move, and whose q has no best one.
DISCRETE = MEMBER | {
    "annealed": {"left_out": "discrete"},
    "simulated": {"left_out": "discrete"},
    "gaps": {"total_gap": NUMBER, "left_out": "no best q"},
}


def test_table_shows_each_number_once(capsys):
    """Two members and one that failed. Mutants: the standard errors exchanged, the cells of one
    member in the column of another, reasons that are not told."""
    content = {"protocol": "digits", "images": 100}
    likelihood_table.show(content | {"members": {"a": MEMBER, "b": DISCRETE, "c": None}})
    printed = capsys.readouterr().out
    for text in ("90.100 +- 0.125", "90.000 +- 0.125", "0.500", "25% above 0.70", "2.000 +- 0.125"):
        assert text in printed
    rows = {line.split("│")[1].strip(): line for line in printed.splitlines() if "│" in line}
    assert (
        rows["width"].count("2.000") == 1 and rows["log p(x) - ELBO, 100 images"].count("+-") == 2
    )
    assert "left out: discrete" in printed and "left out: no best q" in printed
    assert "c failed" in printed


def test_picture_shows_every_member():
    """The values drawn are those given: bound, jackknife without its K = 1, minus the ELBO, and the
    annealed value as the bound of the largest K less the difference. Mutants: the ELBO with its
    sign, the annealed mean of the images as if it were of all examples."""
    figure = figures.likelihood_curves({"a": MEMBER, "b": DISCRETE}, "title")
    (axes,) = figure.axes
    drawn = [tuple(map(float, line.get_ydata())) for line in axes.lines]
    assert (91.0, 90.1, 90.0002) in drawn and (90.0, 90.0) in drawn and (98.0, 98.0) in drawn
    # The value and both ends of its error bar; b has no annealed value.
    (alone,) = zip(*(y for y in drawn if len(y) == 1), strict=True)
    assert sorted(alone) == pytest.approx([87.0002, 88.0002, 89.0002])


@pytest.mark.slow
def test_report_of_a_run(trained, tmp_path):
    """Both members of the shared run of Bernoulli digits, with few samples and chains. The numbers
    agree with each other: the bound rises with K, the gaps add up, and JSON takes all of them.
    Mutants: gaps of other images than log p(x), a member's parameters for all."""
    run, how, state = load_run(trained[0])
    content = likelihood.report(
        run,
        how._replace(num_samples=50),
        state,
        tmp_path,
        num_images=10,
        elbo_samples=50,
        annealing=Annealing(4, 10, 2),
        search=Search(20, 4),
    )
    likelihood_table.show(content)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert (tmp_path / "figures" / "likelihood.png").stat().st_size > 10_000
    first, second = content["members"].values()
    assert first["elbo"] != second["elbo"]
    for each in (first, second):
        assert [point["num_samples"] for point in each["nll"]] == [1, 10, 50]
        assert each["nll"][0]["mean"] > each["nll"][1]["mean"] > each["nll"][2]["mean"]
        gaps = {name: each["gaps"][f"{name}_gap"]["mean"] for name in ("total", "approximation")}
        gaps["amortization"] = each["gaps"]["amortization_gap"]["mean"]
        total = gaps["approximation"] + gaps["amortization"]
        assert gaps["total"] == pytest.approx(total, abs=1e-3)


@pytest.mark.slow
def test_impossible_chains_are_refused_before_anything_is_measured(trained, tmp_path):
    run, how, state = load_run(trained[0])
    with pytest.raises(ValueError, match="num_chains must be >= 1, got 0"):
        likelihood.report(run, how, state, tmp_path, annealing=Annealing(num_chains=0))
