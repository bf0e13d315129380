"""The README's Python runs as it stands there; its tree and table are those of the repository."""

from pathlib import Path
import re

import numpy as np

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_ten_lines_fit_a_vae_to_an_array():
    """A plane in five dimensions, seen with noise of 0.1: the bound approaches its entropy."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 2)) @ generator.normal(size=(2, 5))
    names = {"x": x + 0.1 * generator.normal(size=(2000, 5))}
    exec(code, names)
    assert names["codes"].shape == (200, 2)
    # The prior mean alone, with the scale of the noise, is hundreds of nats worse.
    assert names["metrics"]["elbo"][0] > -100
    assert names["metrics"]["elbo"].shape == (1,)


def test_tree_names_every_module():
    listed = set(re.findall(r"^((?:vae_jax|experiments)/\w+\.py)", README, re.MULTILINE))
    modules = {
        f"{path.parent.name}/{path.name}"
        for folder in ("vae_jax", "experiments")
        for path in (ROOT / folder).glob("*.py")
    }
    assert listed == modules - {"vae_jax/__init__.py"}


def test_table_names_every_config():
    listed = set(re.findall(r"^\| `configs/(\w+)\.py`", README, re.MULTILINE))
    assert listed == {path.stem for path in (ROOT / "configs").glob("*.py")}


def test_files_that_are_linked_exist():
    for target in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / target).exists(), target
