"""Data sets, and how training draws its batches from them."""

from vae_jax.datasets.batches import (
    Batches,
    expected_examples,
    make_batches,
    to_model_examples,
    to_model_values,
)
from vae_jax.datasets.binarization import BINARIZATIONS, binarize
from vae_jax.datasets.columns import KINDS
from vae_jax.datasets.conversion import examples_from, to_user, unstandardize
from vae_jax.datasets.data import (
    Column,
    Dataset,
    Examples,
    Factor,
    Units,
    Values,
    factors_of,
    fingerprint,
    num_examples,
)
from vae_jax.datasets.images import load_images
from vae_jax.datasets.labels import keep_labels
from vae_jax.datasets.loaders import (
    DATASETS,
    from_arrays,
    load_binarized_mnist,
    load_dataset,
    load_digit_halves,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    load_npz,
    load_omniglot,
    load_ppca,
    load_table,
)
from vae_jax.datasets.making import SPLITS, make_dataset, quadrants, split_examples
from vae_jax.datasets.npz_arrays import Arrays, check_array, check_examples, read_npz
from vae_jax.datasets.outlines import from_outline, outline_of, with_images
from vae_jax.datasets.shapes import load_shapes
from vae_jax.datasets.sprites import (
    RENDERINGS,
    load_dsprites,
    load_sprites,
    render_sprites,
)
from vae_jax.datasets.streaming import (
    Chunk,
    chunk_bytes,
    make_streamed_batches,
    num_bytes,
    stream,
)
from vae_jax.datasets.table import read_table, sums_of_columns, table_from_fields

__all__ = [
    "BINARIZATIONS",
    "DATASETS",
    "KINDS",
    "RENDERINGS",
    "SPLITS",
    "Arrays",
    "Batches",
    "Chunk",
    "Column",
    "Dataset",
    "Examples",
    "Factor",
    "Units",
    "Values",
    "binarize",
    "check_array",
    "check_examples",
    "chunk_bytes",
    "examples_from",
    "expected_examples",
    "factors_of",
    "fingerprint",
    "from_arrays",
    "from_outline",
    "keep_labels",
    "load_binarized_mnist",
    "load_dataset",
    "load_digit_halves",
    "load_digits",
    "load_dsprites",
    "load_fashion_mnist",
    "load_images",
    "load_mnist",
    "load_npz",
    "load_omniglot",
    "load_ppca",
    "load_shapes",
    "load_sprites",
    "load_table",
    "make_batches",
    "make_dataset",
    "make_streamed_batches",
    "num_bytes",
    "num_examples",
    "outline_of",
    "quadrants",
    "read_npz",
    "read_table",
    "render_sprites",
    "split_examples",
    "stream",
    "sums_of_columns",
    "table_from_fields",
    "to_model_examples",
    "to_model_values",
    "to_user",
    "unstandardize",
    "with_images",
]
