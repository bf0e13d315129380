"""How batches are drawn, and what the model sees of an example."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import datasets


def test_an_epoch_visits_examples_once_in_a_fresh_order():
    data = datasets.load_digits(binarization="none")
    batches = datasets.make_batches(data, 100)
    assert batches.steps_per_epoch == 12
    visited = []
    for epoch in (0, 1):
        source = batches.begin_epoch(data.train, jax.random.key(0), epoch)
        steps = range(12 * epoch, 12 * (epoch + 1))
        drawn = [batches.batch(source, jax.random.key(step), step) for step in steps]
        xs = np.concatenate([batch.x for batch in drawn]).reshape(1200, -1)
        ys = np.concatenate([batch.y for batch in drawn])
        assert len(np.unique(source.order)) == len(data.train.x)
        lookup = {bytes(x.astype(np.uint8)): y for x, y in zip(data.train.x, data.train.y)}  # noqa: B905
        assert all(lookup[bytes((x * 16).astype(np.uint8))] == y for x, y in zip(xs, ys))  # noqa: B905
        visited.append(np.asarray(source.order))
    assert (visited[0] != visited[1]).mean() > 0.9
    # The remainder that is dropped differs from epoch to epoch.
    assert set(visited[0][1200:]) != set(visited[1][1200:])


@pytest.mark.parametrize("batch_size", [0, 1259])
def test_batch_sizes_out_of_range_are_refused(batch_size):
    with pytest.raises(ValueError, match=rf"1 \.\. 1258.*got {batch_size}"):
        datasets.make_batches(datasets.load_digits(), batch_size)


def test_expected_examples_are_the_mean_of_the_bits():
    """Of counts and of bits alike. Mutant: bits drawn, of which an initial bias would depend."""
    for binarization in ("none", "dynamic"):
        data = datasets.load_digits(binarization=binarization)
        assert jnp.allclose(datasets.expected_examples(data, data.test).x, data.test.x / 16)


def test_given_pixels_are_y_and_the_others_x():
    """x and y are parts of the same draw of bits; what is given is missing in x."""
    data = datasets.load_dataset("digits", binarization="dynamic", given_quadrants=2)
    seen = datasets.to_model_examples(data, jax.random.key(0), data.test)
    given = np.broadcast_to(data.given, seen.y.shape)
    bits = datasets.to_model_values(data.values, jax.random.key(0), data.test.x)
    np.testing.assert_array_equal(seen.y, bits * given)
    np.testing.assert_array_equal(seen.x.mask, 1 - given)
    np.testing.assert_array_equal(seen.x.values, bits)
    assert data.is_masked and data.condition == (8, 8, 1)


def test_an_array_in_place_of_a_data_set_or_its_examples_is_refused():
    """Mutant: DynamicJaxprTracer has no attribute x."""
    x = np.random.default_rng(0).random((60, 3)).astype(np.float32)
    with pytest.raises(
        ValueError, match=r"make_batches needs a data set, such as vae_jax.from_arr"
    ):
        inspect.unwrap(datasets.make_batches)(x, 10)
    batches = datasets.make_batches(datasets.from_arrays(x), 10)
    with pytest.raises(
        ValueError, match=r"must be vae_jax.Examples\(x, y\), such as dataset.train"
    ):
        batches.begin_epoch(x, jax.random.key(0), 0)
