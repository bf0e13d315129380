"""Every example once."""

import jax.numpy as jnp
import numpy as np

from vae_jax.evaluation import map_examples, over_examples


def test_map_examples_counts_the_ragged_batch_once():
    """Oracle: a loop. Mutants: the last batch dropped, or its padding kept."""
    xs = {"image": np.arange(14.0).reshape(7, 2), "label": np.arange(7)}
    scale = jnp.array(10.0)

    def function(scale, index, x):
        return {"sum": scale * jnp.sum(x["image"]), "index": index, "pixels": x["image"]}

    for batch_size in (1, 3, 7, 16):
        result = map_examples(over_examples(function), scale, xs, batch_size)
        np.testing.assert_array_equal(result["sum"], 10 * xs["image"].sum(1))
        np.testing.assert_array_equal(result["index"], xs["label"])
        np.testing.assert_array_equal(result["pixels"], xs["image"])
        assert all(isinstance(leaf, np.ndarray) for leaf in result.values())


def test_map_examples_compiles_one_batch_shape_and_shows_progress():
    """Mutant: a last batch of another shape."""
    shapes, starts = [], []

    def progress(batches):
        for start in batches:
            starts.append(start)
            yield start

    def batched(params, indices, xs):
        shapes.append((indices.shape, xs.shape))
        return xs

    map_examples(batched, None, np.zeros((7, 2)), 3, progress)
    assert starts == [0, 3, 6] and set(shapes) == {((3,), (3, 2))}
