"""The report on disentanglement, on a run whose digits are given factors."""

import json

import jax
import numpy as np
import pytest

from experiments.support.codes import draw_examples
from experiments.support.loading import load_run
from experiments.support.measurement import model_test_examples
from experiments.support.reports import disentanglement as reports
from vae_jax import training
from vae_jax.datasets import Factor
from vae_jax.evaluation import disentanglement

SPLIT = {"num_train": 400, "num_test": 200}
VOTES = SPLIT | {"num_votes": 60, "num_test_votes": 60, "batch_size": 8}
ALL = {"num_examples": 600}
SMALL = {
    name: options
    for options, names in [
        (VOTES, ["beta_vae", "factor_vae"]),
        (SPLIT, ["sap", "explicitness"]),
        (ALL, ["mig", "modularity", "irs", "unsupervised"]),
    ]
    for name in names
} | {"dci": SPLIT | {"num_stages": 1}}


def with_factors(dataset):
    """Digits whose factors are: the only color, whether it is above 4, its remainder by 3."""

    def part(examples):
        y = examples.y.astype(np.int32)
        return examples._replace(y=np.stack([0 * y, y // 5, y % 3], axis=-1))

    factors = (Factor("color", 1), Factor("half", 2), Factor("remainder", 3))
    parts = {name: part(getattr(dataset, name)) for name in ("train", "validation", "test")}
    return dataset._replace(**parts, labels=None, factors=factors)


@pytest.fixture
def small(trained, monkeypatch):
    monkeypatch.setattr(reports, "_EXAMPLES", 600)
    monkeypatch.setitem(disentanglement.PROTOCOLS, "small", SMALL)
    run, how, state = load_run(trained[0])
    return run._replace(dataset=with_factors(run.dataset)), how, state


@pytest.mark.slow
def test_scores_of_every_member(small, tmp_path, capsys):
    """Oracle: MIG of posterior means that are computed here, one example at a time.

    Mutants: samples for means, one member's parameters for all, factors of other examples.
    """
    run, how, state = small
    state = state._replace(
        failure=state.failure._replace(step=np.array([-1, 3], state.failure.step.dtype))
    )
    content = reports.report(run, how, state, tmp_path, protocol="small")
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["factors"] == ["half", "remainder"]
    assert content["left_out"] == {"color": "one value only"}
    first, second = content["members"].values()
    assert second is None and content["scores"]["mig"]["members"] == [
        first["scores"]["mig"]["mean"],
        None,
    ]
    assert first["scores"]["mig"]["over"] == "examples"
    assert first["scores"]["dci_completeness"]["standard_error"] is None

    key_draw, key_metrics = jax.random.split(jax.random.fold_in(how.keys.codes, 0x64697365))
    stored, factors = draw_examples(run.dataset, key_draw, 600)
    params = training.select_member(state, 0).evaluation_params["vae"]
    seen = model_test_examples(run, how, stored)
    codes = jax.lax.map(lambda x: run.vae.encode(params, x).mean, seen.x)
    own = jax.random.split(key_metrics, len(disentanglement.METRICS))[2]
    mig = disentanglement.measure("mig", own, np.asarray(codes), factors[:, 1:], **ALL)["mig"]
    np.testing.assert_allclose(first["scores"]["mig"]["mean"], mig.mean, rtol=1e-6)
    shares = disentanglement.shares(np.asarray(codes), factors[:, 1:])
    np.testing.assert_allclose(first["shares"], shares, atol=1e-4)

    folder = tmp_path / "figures" / run.members[0].file_name
    assert (folder / "factor_traversal.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.rglob("*.png"))) == 1
    reports.show(content)
    printed = capsys.readouterr().out
    assert "MIG" in printed and "factor color is left out: one value only" in printed


def test_examples_and_factors_belong_together(small):
    """Of all three parts, none twice. Mutant: factors of the examples in another order."""
    dataset = small[0].dataset
    examples, factors = draw_examples(dataset, jax.random.key(1), 600)
    every = np.concatenate([dataset.train.x, dataset.validation.x, dataset.test.x])
    label = {image.tobytes(): i for i, image in enumerate(every)}
    rows = [label[image.tobytes()] for image in examples.x]
    y = np.concatenate([dataset.train.y, dataset.validation.y, dataset.test.y])
    np.testing.assert_array_equal(factors, y[rows])
    assert len(set(rows)) == len(rows) == 600


def test_rows_are_ordered_by_the_factor_that_a_code_carries():
    """Mutants: the axis of the codes for that of the factors, the weakest code first."""
    shares = np.array([[0.0, 0.3], [0.01, 0.04], [0.2, 0.1], [0.1, 0.9]])
    assert reports.carried(shares, ["shape", "x"]) == [
        (2, "shape 20%", False),
        (3, "x 90%", False),
        (0, "x 30%", False),
        (1, "no factor", True),
    ]


def test_what_cannot_be_scored_is_refused(small, tmp_path, monkeypatch):
    run, how, state = small
    with pytest.raises(ValueError, match=r"protocol='fast' is unknown; known: full, quick, small$"):
        reports.report(run, how, state, tmp_path, protocol="fast")
    with pytest.raises(
        ValueError, match=r"leave_out='colour' is no factor; known: color, half, remainder$"
    ):
        reports.report(run, how, state, tmp_path, leave_out="colour")
    without = run._replace(dataset=run.dataset._replace(factors=None))
    with pytest.raises(ValueError, match=r"digits has no factors .*: sprites and dsprites have$"):
        reports.report(without, how, state, tmp_path)
    constant = state._replace(params=jax.tree.map(np.zeros_like, state.params))
    with pytest.raises(ValueError, match=r"^seed=0: all \d+ codes are constant: the encoder"):
        reports.report(run, how, constant, tmp_path, protocol="small")
    monkeypatch.setattr(reports, "_EXAMPLES", 9_999)
    with pytest.raises(ValueError, match=r"the scores take 9,999 examples, digits has 1,797"):
        reports.report(run, how, state, tmp_path)
    assert not list(tmp_path.rglob("*.png"))
