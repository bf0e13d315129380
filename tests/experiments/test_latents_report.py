"""The report on latents, and the line that names dead dimensions while a run trains."""

import json
import math

import numpy as np
import pytest

from experiments import evaluate
from experiments.support import measurement
from experiments.support.loading import load_run
from experiments.support.reports import latents
from vae_jax.datasets import num_examples


@pytest.fixture(scope="module")
def loaded(trained):
    """(run, how it is measured, state) of a small run of two seeds."""
    return load_run(trained[0])


def test_the_report_of_a_run(loaded, tmp_path, capsys):
    """Its parts add up, by their definitions; the aggregate posterior is of the whole test set.

    Estimator of KL = I(z; n) + KL(q(z) || p(z)): the sampled KL, four standard errors. Mutants: a
    term turned, the KL per dimension of one example, the wrong member's numbers.
    """
    evaluate.write_report("latents", *loaded, tmp_path, {})
    content = json.loads((tmp_path / "latents.json").read_text())
    assert content["report"] == "latents" and "jax" in content["versions"]
    count = num_examples(loaded[0].dataset.test)
    assert content["test_examples"] == content["aggregate_examples"] == count
    assert math.isclose(content["most_index_code_mi"], math.log(count))
    members = content["members"]
    for each in members.values():
        rate = each["rate"]["mean"]
        assert math.isclose(each["elbo"]["mean"], -rate - each["distortion"]["mean"], rel_tol=1e-5)
        assert math.isclose(sum(each["kl_per_dimension"]), rate, rel_tol=1e-4)
        parts = [each["index_code_mi"], each["marginal_kl"]]
        error = sum(part["standard_error"] for part in parts)
        assert abs(sum(part["mean"] for part in parts) - rate) < 4 * error
        assert each["index_code_mi"]["mean"] < content["most_index_code_mi"]
        assert each["active_units"] == 10 - len(each["dead"])
    assert len({each["rate"]["mean"] for each in members.values()}) == len(members) == 2
    assert (tmp_path / "figures" / "latents.png").read_bytes().startswith(b"\x89PNG")
    assert "cannot exceed log N" in capsys.readouterr().out


def test_dead_dimensions_are_named(loaded):
    """Of the member with the most of them; a failed one is left out. Mutants: the active ones
    named, a member's numbers for another's."""
    run = loaded[0]
    means = np.zeros((2, 50, 10))
    means[:, :, :] = np.linspace(-1, 1, 50)[:, None]
    means[1, :, [2, 7]] = 0
    measured = [{"posterior_mean": each} for each in means]
    line = measurement.describe_collapse(run, np.array([False, False]), measured)
    assert "2 of 10 latent dimensions of seed=1 (1 of 2 members have some) are dead" in line
    assert "tell nothing of x: 2, 7;" in line and "\n" not in line
    assert measurement.describe_collapse(run, np.array([False, True]), measured) == ""


def test_points_of_a_sweep_share_a_picture(loaded, tmp_path):
    """Two points make a curve, one does not. Mutant: the picture of every run."""
    run = loaded[0]
    numbers = {
        "rate": {"mean": 1.0},
        "distortion": {"mean": 2.0},
        "kl_per_dimension": [1.0],
        "dead": [],
    }
    content = {"protocol": "toy", "test_examples": 3}
    content["members"] = dict.fromkeys(run.member_names, numbers)
    latents._draw(content, run, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"latents.png"}
    points = [
        member._replace(point={"objective.beta": float(i)}) for i, member in enumerate(run.members)
    ]
    content["members"] = {member.name: numbers for member in points}
    latents._draw(content, run._replace(members=points), tmp_path)
    assert (tmp_path / "rate_distortion.png").exists()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("latent", {}, ["--report='latent'", "did you mean 'latents'"]),
        ("latents", {"protocol": "full"}, ["protocol='full'", "chosen: report='latents'"]),
    ],
)
def test_unknown_reports_and_options_are_refused(name, options, words):
    with pytest.raises(ValueError) as caught:
        evaluate.check_report(name, options)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
