"""The program that measures gradient estimators."""

import json

import pytest

from experiments import estimators
from experiments.support import gradients
from experiments.support.loading import load_member
from vae_jax.models import VAE
from vae_jax.objectives import ESTIMATORS


@pytest.mark.slow
def test_a_trained_run_is_measured(trained, tmp_path, capsys):
    """Every number of the file, by its definition where it is known.

    Mutants: other keys for each estimator; K that is not that of the objective; a bias of the
    decoder, whose gradient is the same by all estimators.
    """
    run, how_measured, params = load_member(trained[0], 1, with_data=True)
    output = tmp_path / "estimators.json"
    estimators.report(run, how_measured, params, output, ["pathwise"], 3, 20, 2)
    numbers = json.loads(output.read_text())
    assert numbers["reference"] == "doubly_reparameterized"
    assert (numbers["examples"], numbers["replicates"]) == (2, 20)
    of_blocks = numbers["estimators"]["pathwise"]
    for block, each in of_blocks.items():
        assert each["num_samples"] == [1, 2] and each["parameters"] == 1000
        assert all(value["mean"] > 0 for value in each["signal_to_noise"] + each["variance"])
        reference = numbers["estimators"]["doubly_reparameterized"][block]
        assert reference["relative_squared_bias"] == [None, None]
    for bias in of_blocks["decoder"]["relative_squared_bias"]:
        assert abs(bias["mean"]) < 1e-6
    for bias in of_blocks["encoder"]["relative_squared_bias"]:
        assert abs(bias["mean"]) <= 4 * bias["standard_error"]
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"estimators.json", "estimators.png"}
    printed = capsys.readouterr().out
    assert "encoder: gradients of the importance-weighted bound" in printed
    assert "slope of logarithms, K >= 1" in printed


def test_estimators_that_do_not_apply_are_left_out_with_the_reason():
    """Mutants: a pathwise gradient of discrete latents; a reference that does not apply."""
    chosen, left_out = gradients.choose_estimators(VAE(*[None] * 4))
    assert chosen[0] == "doubly_reparameterized"
    assert set(chosen) | set(left_out) == set(ESTIMATORS) and set(left_out) >= {"piwae"}
    chosen, left_out = gradients.choose_estimators(VAE(*[None] * 4, latents="bits"))
    assert chosen[0] == "vimco" and {"score_function", "wake_sleep"} < set(chosen)
    assert "discrete latents (bits)" in left_out["pathwise"]
    assert gradients.pairs(["vimco", "wake_sleep"], [1, 2]) == [
        *(("wake_sleep", 1), ("vimco", 2), ("wake_sleep", 2))
    ]


@pytest.mark.parametrize(
    ("name", "latents", "message"),
    [
        ("piwae", "real", "not one of the objective iwae, but of miwae"),
        ("pathwise", "bits", "discrete latents"),
        ("pathwize", "real", "pathwise"),
    ],
)
def test_an_estimator_that_does_not_apply_is_refused(name, latents, message):
    with pytest.raises(ValueError, match=message):
        gradients.choose_estimators(VAE(*[None] * 4, latents=latents), [name])


def test_bad_flags_are_refused(tmp_path):
    nothing = {"workdir": None, "config": None, "output": None}
    with pytest.raises(ValueError, match="give --workdir=DIR, a trained run, or --config=FILE"):
        estimators.open_model(nothing)
    with pytest.raises(ValueError, match="names the file"):
        estimators.open_model(nothing | {"config": {}})
    for output, count, message in (("a.png", 20, "name a json"), ("a.json", 25, "multiple of 10")):
        with pytest.raises(ValueError, match=message):
            estimators.report(None, None, None, tmp_path / output, [], 1, count, 1)
