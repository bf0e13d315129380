"""Real numbers stored standardized: statistics, densities in their own units, and back."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse, stats

from tests.datasets.files import write_npz
from vae_jax import datasets, models
from vae_jax.distributions import Masked

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)) * [0.01, 1.0, 300.0] + [5.0, 0.0, 1e6]
SPLIT = np.repeat(["train", "validation", "test"], [30, 10, 10])


def test_statistics_are_those_of_the_observed_training_values():
    """Oracle: numpy in float64. Mutants: float32 before the mean is taken off, all examples."""
    x = X.copy()
    x[2, 1] = np.nan
    data = datasets.from_arrays(x, standardize=True, split=SPLIT)
    mean, scale = np.nanmean(x[:30], axis=0), np.nanstd(x[:30], axis=0)
    np.testing.assert_allclose(data.values.units.location, mean)
    np.testing.assert_allclose(data.values.units.scale, scale)
    np.testing.assert_allclose(data.test.x.values, (x[40:] - mean) / scale, 1e-5, 1e-5)
    assert data.train.x.values.dtype == np.float32
    outline = datasets.from_outline(json.loads(json.dumps(datasets.outline_of(data))))
    assert outline.values == data.values
    examples = datasets.examples_from(outline, x)
    np.testing.assert_array_equal(examples.x.values[40:], data.test.x.values)
    seen = datasets.to_model_examples(data, jax.random.key(0), examples)
    np.testing.assert_allclose(datasets.to_user(outline, seen.x), x, 1e-5)


def log_probs(data):
    """Return log p(x|z) of the test examples, by fixed parameters, and the Gaussian itself."""
    vae = models.make_vae_for(data, likelihood="gaussian_scale_per_column", latent_dim=2, hidden=())
    params = vae.init(jax.random.key(0), datasets.expected_examples(data, data.train))
    p = vae.decode(params, jnp.ones(2))
    return jax.jit(jax.vmap(p.log_prob))(data.test.x), p


def test_the_density_is_that_of_the_raw_values():
    """Oracle: scipy.stats.norm of the raw values, in float64."""
    data = datasets.from_arrays(X, standardize=True, split=SPLIT)
    ours, p = log_probs(data)
    location, scale = (np.array(each) for each in data.values.units[:2])
    mean, sigma = (np.float64(each) for each in (p.base.mean, p.base.scale))
    expected = stats.norm.logpdf(X[40:], location + scale * mean, scale * sigma)
    np.testing.assert_allclose(ours, expected.sum(axis=1), 1e-4)


def test_other_units_shift_the_density_by_the_logarithm_of_the_factor():
    """Of metres instead of kilometres, -log p(x) of 3 values is larger by 3 log 1000.

    Mutants: no correction, or one of the wrong sign.
    """
    ours, _ = log_probs(datasets.from_arrays(X, standardize=True, split=SPLIT))
    in_metres, _ = log_probs(datasets.from_arrays(1000 * X, standardize=True, split=SPLIT))
    np.testing.assert_allclose(ours - in_metres, 3 * np.log(1000), 1e-4)


def test_constant_and_never_observed_values_have_scale_one():
    x = np.array([[0.1, np.nan, i / 3] for i in range(30)])
    units = datasets.from_arrays(x, standardize=True).values.units
    assert units.scale[:2] == (1.0, 1.0) and units.scale[2] > 1
    np.testing.assert_allclose(units.location[:2], [0.1, 0.0])


def test_only_real_numbers_are_standardized():
    grey, counts = RNG.integers(0, 256, (50, 4)).astype(np.uint8), RNG.poisson(3, (50, 2))
    data = datasets.from_arrays({"a": grey, "b": X, "c": counts}, standardize=True)
    assert [values.units is not None for values in data.fields.values()] == [False, True, False]
    assert data.train.x["a"].dtype == np.uint8 and data.train.x["c"].dtype == np.float32
    for x in (grey, grey > 100):
        with pytest.raises(ValueError, match="standardize=true is for real numbers, but"):
            datasets.from_arrays(x, standardize=True)


# Other ways in.


def test_lists_tables_and_sparse_counts_are_arrays():
    """Oracle: the array itself. Mutant: sparse bytes read as grey values."""
    counts = RNG.poisson(0.5, (50, 6))
    expected = datasets.from_arrays(counts)
    for given in (counts.tolist(), sparse.csr_matrix(counts.astype(np.uint8)), jnp.asarray(counts)):
        data = datasets.from_arrays(given)
        np.testing.assert_array_equal(data.train.x, expected.train.x)
        assert data.values == expected.values
    holes = [[None if (i + j) % 7 == 0 else i + j for j in range(3)] for i in range(20)]
    x = datasets.from_arrays(holes).train.x
    assert isinstance(x, Masked) and 0 < x.mask.mean() < 1


def test_sparse_files_are_read(tmp_path):
    counts = RNG.poisson(0.5, (50, 6))
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_matrix(counts))
    data = datasets.load_dataset("npz", path=str(tmp_path / "x.npz"))
    np.testing.assert_array_equal(data.train.x, datasets.from_arrays(counts).train.x)


def test_parts_of_a_file_are_its_splits(tmp_path):
    arrays = {f"x_{part}": X[part == SPLIT] for part in datasets.SPLITS}
    arrays |= {f"y_{part}": np.arange(50)[part == SPLIT] for part in datasets.SPLITS}
    data = datasets.load_dataset("npz", path=write_npz(tmp_path / "x.npz", **arrays))
    for part in datasets.SPLITS:
        np.testing.assert_allclose(getattr(data, part).x, X[part == SPLIT], 1e-6)
        np.testing.assert_array_equal(getattr(data, part).y, np.flatnonzero(part == SPLIT))


def test_a_split_without_a_part_is_refused():
    for split in (np.repeat("train", 50), SPLIT[:40], np.arange(50)):
        with pytest.raises(ValueError, match="must say train, validation, test of its 50 examples"):
            datasets.from_arrays(X, split=split)


def test_each_field_has_its_own_mask(tmp_path):
    """Oracle: the field alone. Mutants: one mask for all, a NaN field without a mask."""
    holes = X.copy()
    holes[::4, 1] = np.nan
    a, mask = RNG.integers(0, 2, (50, 4)), RNG.integers(0, 2, (50, 4))
    path = write_npz(tmp_path / "x.npz", a=a, b=holes, c=X, mask_a=mask)
    data = datasets.load_dataset("npz", path=path, fields=("a", "b", "c"))
    assert data.masked == {"a": True, "b": True, "c": False} and data.is_masked
    for field, alone in {"b": holes, "c": X}.items():
        expected = datasets.from_arrays(alone).train.x
        jax.tree.map(np.testing.assert_array_equal, data.train.x[field], expected)
    np.testing.assert_array_equal(data.train.x["a"].mask, datasets.from_arrays(mask).train.x)
    with pytest.raises(ValueError, match=r"masks of .* must be by field, of a"):
        datasets.from_arrays({"a": a}, mask=mask)
    with pytest.raises(ValueError, match=r"masks of .* must be by field, of a"):
        datasets.from_arrays({"a": a}, mask={"b": mask})
