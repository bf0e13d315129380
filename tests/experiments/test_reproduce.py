"""The rows of published figures, and what a finished run says of its row."""

import json
import shutil
from types import SimpleNamespace

import pytest

from experiments import reproduce
from experiments.support.options import resolve
from tests.support.programs import run_program

ROWS = reproduce.rows()


@pytest.mark.parametrize("name", ROWS)
def test_row_tells_what_it_reproduces(name):
    """Its command, source, protocol and differences; its config, if it trains, is complete, with
    three seeds."""
    row = ROWS[name]
    assert f"python -m experiments.reproduce {name} --data_dir=DIR" in row.__doc__
    for part in ("Published: ", "Protocol: ", "Ours differs: "):
        assert row.__doc__.count(part) == 1
    assert set(row.PUBLISHED) == {
        "metric",
        "value",
        "is_verified",
        "source",
        "is_same_protocol",
    }
    assert str(abs(row.PUBLISHED["value"])).removesuffix(".0") in row.__doc__
    assert ("from memory" in row.__doc__) != row.PUBLISHED["is_verified"]
    assert hasattr(row, "get_config") or hasattr(row, "measure")
    if hasattr(row, "get_config"):
        config, notes = resolve(row.get_config())
        assert config.num_seeds == 3 and notes == []


def test_rows_differ():
    """Mutant: a row that is a copy of another."""
    trained = [row for row in ROWS.values() if hasattr(row, "get_config")]
    configs = [json.dumps(row.get_config().to_dict(), sort_keys=True) for row in trained]
    assert len(set(configs)) == len(configs)


def row_of(name="burda_vae_k1", metric="nll", is_verified=True, is_same_protocol=True, value=86.0):
    """Return a row with the config of another, and a published figure of its own."""
    published = {"metric": metric, "value": value, "source": "nobody"}
    published |= {"is_verified": is_verified, "is_same_protocol": is_same_protocol}
    return SimpleNamespace(PUBLISHED=published, get_config=ROWS[name].get_config)


@pytest.mark.parametrize(
    ("row", "mean", "verdict"),
    [
        (row_of(), 86.24, "matched"),
        (row_of(), 86.26, "not resolved"),
        (row_of(), 85.6, "not resolved"),  # twice the hypotenuse of .2 and .05 is .41
        (row_of(), 85.58, "beaten"),
        (row_of(is_same_protocol=False), 85.58, "not resolved"),
        (row_of(is_verified=False), 86.0, "not judged"),
        (row_of("burda_iwae_k5"), 86.14, "matched"),
        (row_of("burda_iwae_k5"), 86.16, "not resolved"),
        (row_of("burda_iwae_k5"), 85.77, "beaten"),  # twice the hypotenuse of .1 and .05 is .22
        (row_of(metric="elbo", value=-86.0), -85.58, "beaten"),
        (row_of(metric="elbo", value=-86.0), -86.42, "not resolved"),
        (row_of(metric="slope"), 86.0, ""),
    ],
)
def test_verdict(row, mean, verdict):
    """By hand, at both sides of each limit. Mutants: a sign, one tolerance for every K, one
    standard error for two, the published run's spread left out."""
    assert reproduce.verdict_of(row, {"mean": mean, "standard_error": 0.05}) == verdict


def test_result_is_the_mean_over_seeds(trained, tmp_path, monkeypatch):
    """Oracle: mean and standard error of two seeds by hand, |a - b| / 2. Mutants: the spread for
    its standard error, the first seed for the mean, another metric."""
    workdir = tmp_path / "run"
    monkeypatch.setattr(
        reproduce,
        "train_and_evaluate",
        lambda config, folder, extend: shutil.copytree(trained[0], folder),
    )
    row = row_of(value=90.0, is_verified=False)
    reproduce.reproduce("row", row, "data", workdir, tmp_path / "results")
    result = json.loads((tmp_path / "results" / "row.json").read_text())
    summary = json.loads((trained[0] / "summary.json").read_text())
    first, second = summary["nll"]["members"]
    assert result["per_seed"] == {"seed=0": first, "seed=1": second}
    assert result["mean"] == pytest.approx((first + second) / 2)
    assert result["standard_error"] == pytest.approx(abs(first - second) / 2)
    assert result["steps"] == summary["step"] and result["protocol"] == "digits, 17 levels"
    assert f"{(first + second) / 2:.2f}" in reproduce.describe("row", row, result)


def test_number_has_as_many_decimals_as_its_error():
    """Mutants: two for all, an error of one row as a number."""
    for mean, error, expected in (
        (86.761, 0.034, "86.76 ± 0.03"),
        (0.001207, 0.00063, "0.0012 ± 0.0006"),
        (0.99986979, None, "0.99987"),
    ):
        assert reproduce.number_of({"mean": mean, "standard_error": error}) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("exact_ppca", 0.01),
        ("exact_snr_encoder", 0.02),
        ("exact_snr_decoder", 0.02),
        ("exact_snr_dreg", 0.02),
    ],
)
def test_exact_rows_are_reached(name, tolerance, tmp_path):
    """The published slope, at finite K, and the maximum likelihood."""
    reproduce.reproduce(name, ROWS[name], "", tmp_path / "run", tmp_path)
    result = json.loads((tmp_path / f"{name}.json").read_text())
    assert abs(result["mean"] - result["published"]["value"]) < tolerance
    assert len(result["per_seed"]) == 3


@pytest.mark.slow
def test_what_is_wrong_is_one_line(tmp_path):
    """Mutants: a row that is looked for as a file, a missing folder found after other rows ran."""
    places = [f"--runs={tmp_path}/runs", f"--results={tmp_path}/results"]
    for arguments, words in (
        (["burda_vae"], "did you mean 'burda_vae_k1'"),
        (["burda_vae_k1", f"--data_dir={tmp_path}/none"], "is not prepared in"),
    ):
        done = run_program("experiments.reproduce", *arguments, *places)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr
