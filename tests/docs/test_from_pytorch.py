"""docs/from_pytorch.md: the two blocks of each pair compute the same numbers."""

import itertools
import re

import numpy as np
import pytest

from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "from_pytorch.md").read_text()
BLOCKS = re.findall(r"```python\n# (PyTorch|vae_jax)\n(.*?)```", PAGE, re.DOTALL)
PAIRS = [
    (theirs, ours)
    for (name, theirs), (other, ours) in itertools.pairwise(BLOCKS)
    if (name, other) == ("PyTorch", "vae_jax")
]


def given():
    """The arrays that the page begins with."""
    generator = np.random.default_rng(0)
    shapes = {"mu": 20, "logvar": 20, "logits": 784, "eps": 20}
    arrays = {name: generator.normal(size=(32, size)) for name, size in shapes.items()}
    arrays["x"] = generator.integers(0, 2, (32, 784))
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def assigned(code, names):
    before = dict(names)
    exec(code, names)
    return {name for name in names if names[name] is not before.get(name)}


def test_both_blocks_of_a_pair_give_the_same_numbers():
    """PyTorch is the oracle. Mutants: a KL per batch, log variance for log sigma, sigma^2 = 1."""
    pytest.importorskip("torch", reason="compares with PyTorch, of the extra benchmarks")
    theirs, ours = given(), given()
    assert len(PAIRS) >= 8
    compared = set()
    for pair in PAIRS:
        both = set.intersection(*map(assigned, pair, (theirs, ours)))
        compared |= both
        for name in both - {"x", "mu", "logvar", "logits", "eps", "step", "__builtins__"}:
            expected = theirs[name].numpy() if hasattr(theirs[name], "numpy") else theirs[name]
            np.testing.assert_allclose(ours[name], expected, rtol=1e-5, err_msg=name)
    terms = {"z", "kl", "reconstruction", "loss", "mean_loss", "squared_error", "bound", "trained"}
    assert terms <= compared


@pytest.mark.slow
def test_the_last_block_trains():
    """What takes the place of module, loader and loop runs as it stands."""
    names = given() | {"vae_jax": __import__("vae_jax")}
    exec(BLOCKS[-1][1], names)
    assert names["codes"].shape == (32, 20)
