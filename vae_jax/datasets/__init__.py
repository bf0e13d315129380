"""Data sets, and how training draws its batches from them."""

from vae_jax.datasets.batches import (
    Batches,
    expected_examples,
    make_batches,
    to_model_examples,
    to_model_values,
)
from vae_jax.datasets.binarization import BINARIZATIONS, binarize
from vae_jax.datasets.data import (
    Dataset,
    Examples,
    Values,
    fingerprint,
    num_examples,
)
from vae_jax.datasets.labels import keep_labels
from vae_jax.datasets.loaders import (
    DATASETS,
    from_arrays,
    load_binarized_mnist,
    load_dataset,
    load_digit_halves,
    load_digits,
    load_mnist,
    load_npz,
    load_ppca,
)
from vae_jax.datasets.making import make_dataset, quadrants, split_examples
from vae_jax.datasets.npz_arrays import check_array, check_examples, read_npz
from vae_jax.datasets.outlines import from_outline, outline_of

__all__ = [
    "BINARIZATIONS",
    "DATASETS",
    "Batches",
    "Dataset",
    "Examples",
    "Values",
    "binarize",
    "check_array",
    "check_examples",
    "expected_examples",
    "fingerprint",
    "from_arrays",
    "from_outline",
    "keep_labels",
    "load_binarized_mnist",
    "load_dataset",
    "load_digit_halves",
    "load_digits",
    "load_mnist",
    "load_npz",
    "load_ppca",
    "make_batches",
    "make_dataset",
    "num_examples",
    "outline_of",
    "quadrants",
    "read_npz",
    "split_examples",
    "to_model_examples",
    "to_model_values",
]
