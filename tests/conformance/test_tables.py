"""Every row of every table tells what it is and what its options mean, and its defaults work.

The tests run over `tables.TABLES`: a new row is tested without being named here.
"""

from collections.abc import Mapping
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.datasets.files import png_of
from tests.support.rows import KEY, examples_of, partner
from vae_jax import datasets
from vae_jax.datasets import Dataset
from vae_jax.lookup import option_meanings, options_of, summary_of
from vae_jax.models import LIKELIHOODS, POSTERIORS, PRIORS, make_vae
from vae_jax.networks import NETWORKS
from vae_jax.objectives import OBJECTIVES, make_objective
from vae_jax.tables import TABLES
from vae_jax.training import OPTIMIZERS, SCHEDULES, make_optimizer, make_schedule

ROWS = {
    f"{block}.{field}={name}": row
    for block, tables in TABLES.items()
    for field, table in tables.items()
    for name, row in table.items()
}
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


@every_row
def test_row_says_what_it_is(row):
    """Mutant: a row without a docstring, or whose first line is no sentence of its own."""
    summary = summary_of(row)
    assert len(summary) > 2 and summary == summary.strip()
    assert not summary.endswith((",", ":")) and summary.count("(") == summary.count(")")


@every_row
def test_every_option_has_a_meaning(row):
    """Mutants: an option that is missing in the section `Args:`, or a meaning of another name."""
    assert set(option_meanings(row)) == set(options_of(row))
    for option, meaning in option_meanings(row).items():
        assert len(meaning) > 5, option


@every_row
def test_every_option_has_a_default(row):
    """Of a type that a config can hold. Mutant: a row that cannot be made by its name alone."""
    for option, default in options_of(row).items():
        assert default is not inspect.Parameter.empty, option
        assert isinstance(default, bool | int | float | str | tuple), option


@pytest.mark.parametrize("block", TABLES)
def test_one_option_name_has_one_type_in_a_block(block):
    """And is no name of a row's. Mutants: `hidden` as a number in one row; beta as an integer."""
    types = {}
    for table in TABLES[block].values():
        for name, row in table.items():
            for option, default in options_of(row).items():
                types.setdefault(option, {})[name] = type(default)
    mixed = {option: rows for option, rows in types.items() if len(set(rows.values())) > 1}
    assert not mixed
    assert not set(types) & set(TABLES[block])


# Every row with its defaults can be made.


@pytest.mark.parametrize("network", NETWORKS)
def test_network_can_be_made(network):
    assert_model_works((8, 8, 1), "bernoulli", network=network)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_posterior_can_be_made(posterior):
    prior = partner(posterior=posterior)[1]
    assert_model_works((6,), "bernoulli", posterior=posterior, prior=prior)


@pytest.mark.parametrize("prior", PRIORS)
def test_prior_can_be_made(prior):
    posterior = partner(prior=prior)[0]
    assert_model_works((6,), "bernoulli", posterior=posterior, prior=prior)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_likelihood_can_be_made(likelihood):
    assert_model_works((6,), likelihood, num_levels=5)


def assert_model_works(shape, likelihood, prior="standard_normal", **rows):
    """Check that a model of these rows has log-densities of the shapes of one number."""
    condition = 3 if PRIORS[prior].is_conditional else None
    xs = jnp.resize(examples_of(likelihood).x, (60, *shape))
    data = datasets.Examples(xs, jnp.zeros(60, jnp.int32))
    vae = make_vae(shape, likelihood=likelihood, prior=prior, condition=condition, **rows)

    def log_densities(key):
        params, y = vae.init(key, data), 0 if condition else None
        q = vae.encode(params, xs[0], y)
        z = q.sample(key)
        return vae.decode(params, z, y).log_prob(xs[0]), vae.prior(params, y).log_prob(z)

    assert [each.shape for each in jax.eval_shape(log_densities, KEY)] == [(), ()]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objective_can_be_made(objective):
    """Its traced numbers are options of the row with the same defaults."""
    hparams = make_objective(objective).hparams
    assert hparams.items() <= options_of(OBJECTIVES[objective]).items()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizer_can_be_made(optimizer):
    """One update moves parameters downhill. Mutants: a sign turned, a learning rate unread."""
    update = make_optimizer(optimizer)({"learning_rate": 0.1})
    params = {"w": jnp.array([1.0, -2.0])}
    updates, _ = update.update(params, update.init(params), params)
    assert np.all(np.sign(updates["w"]) == [-1, 1])
    still = make_optimizer(optimizer)({"learning_rate": 0.0})
    updates, _ = still.update(params, still.init(params), params)
    np.testing.assert_array_equal(optax.apply_updates(params, updates)["w"], params["w"])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule_can_be_made(schedule):
    """It starts at the peak and never exceeds it."""
    values = [float(make_schedule(schedule, num_steps=20)(step)) for step in range(20)]
    assert values[0] == 1 and np.all(np.isfinite(values)) and 0 <= min(values) <= max(values) <= 1


# What stands for the source of a data set that is not at hand.
IMAGES = np.random.default_rng(0).integers(0, 2, (5100, 28, 28, 1)).astype(np.uint8)


@pytest.fixture
def sources(monkeypatch, tmp_path):
    """Arrays in the place of TFDS's, and {row: path} of one's own file and folder."""

    def read_tfds(name, version, data_dir, download, features, splits=("train", "test"), *_):
        part = {name: IMAGES if name == "x" else np.arange(5100) % 10 for name in features}
        return dict.fromkeys(splits, part)

    for module in (datasets.tfds_sets, datasets.sprites):
        monkeypatch.setattr(module, "read_tfds", read_tfds)
    path = tmp_path / "own.npz"
    np.savez(path, x=np.random.default_rng(0).uniform(size=(50, 3)).astype(np.float32))
    for i in range(3):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{i}.png").write_bytes(png_of(IMAGES[i]))
    (tmp_path / "x.csv").write_text("\n".join(["a,b", *(f"{i / 3},{i % 2}" for i in range(50))]))
    return {
        "npz": {"path": str(path)},
        "images": {"path": str(tmp_path / "images")},
        "table": {"path": str(tmp_path / "x.csv")},
    }


@pytest.mark.parametrize("name", TABLES["data"]["name"])
def test_data_set_can_be_loaded(name, sources):
    """By its name alone, but for the path of one's own. Mutant: a split without examples."""
    if name == "table":
        pytest.importorskip("pandas", reason="of the extra `tables`")
    dataset = datasets.load_dataset(name, **sources.get(name, {}))
    assert isinstance(dataset, Dataset)
    for part in (dataset.train, dataset.validation, dataset.test):
        assert datasets.num_examples(part) > 0
    assert isinstance(dataset.shape, Mapping | tuple) and dataset.fields
