"""The floors of the house: imports run one way, and each package knows only what it may."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re

import pytest

from tests.support.programs import ROOT

SOURCES = sorted([*(ROOT / "vae_jax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules of this project that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str:
    """The package or the single module right below the top one."""
    return ".".join(module.split(".")[:2])


def arrows() -> set[tuple[str, str]]:
    names = {module_name(path) for path in SOURCES}
    return {
        (room(module_name(path)), room(name))
        for path in SOURCES
        for name in imports_of(path)
        if name in names and room(name) != room(module_name(path))
    }


def find_circle(edges: set[tuple[str, str]]) -> list[str]:
    """Return nodes each of which has an arrow to another one of them; [] without a circle."""
    nodes = {node for edge in edges for node in edge}
    while nodes:
        leaves = {n for n in nodes if not any(a == n and b in nodes for a, b in edges)}
        if not leaves:
            return sorted(nodes)
        nodes -= leaves
    return []


def test_circles_are_found():
    assert find_circle({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")}) == ["a", "b", "c"]
    assert find_circle({("a", "b"), ("a", "c"), ("b", "c")}) == []


def test_rooms_import_one_way():
    assert find_circle(arrows()) == []


def test_modules_import_one_way():
    names = {module_name(path) for path in SOURCES if path.name != "__init__.py"}
    edges = {
        (module_name(path), name)
        for path in SOURCES
        if path.name != "__init__.py"
        for name in imports_of(path)
        if name in names
    }
    assert find_circle(edges) == []


def test_the_library_does_not_know_the_programs():
    known = {target for source, target in arrows() if source.startswith("vae_jax")}
    assert not [target for target in known if target.startswith("experiments")]


def test_training_and_evaluation_get_models_as_values():
    below = {"vae_jax.models", "vae_jax.tables"}
    for path in [*(ROOT / "vae_jax" / "training").glob("*.py")]:
        assert not set(map(room, imports_of(path))) & (below | {"vae_jax.objectives"}), path
    for path in [*(ROOT / "vae_jax" / "evaluation").glob("*.py")]:
        assert not set(map(room, imports_of(path))) & below, path


# {what a file may not hold: the files of vae_jax that may}. Only `progress` looks at a clock and
# prints: functions take it as an argument, and compute the same without it.
FORBIDDEN = {
    r"\bXLA\b|\bcompiler\b": "fast/",
    r"^(import|from) (absl|ml_collections)": "-",
    r"\bos\.(cpu_count|sched_getaffinity)|^import time|\btime\.(time|monotonic)": "progress",
    r"\bprint\(": "progress",
    r"\bconfig\.(data|vae|objective|optimizer|training|evaluation)\b": "-",
    r"^(import|from) (pathlib|shutil|tempfile)|\bopen\(": "datasets/|checkpoints|figu|model_f",
}


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_the_library_is_pure(pattern):
    """Of flags, configs, clocks, screens and disks; some files are allowed one of them."""
    found = {
        str(path.relative_to(ROOT / "vae_jax"))
        for path in (ROOT / "vae_jax").rglob("*.py")
        if re.search(pattern, path.read_text(), re.MULTILINE)
    }
    assert {path for path in found if not re.match(FORBIDDEN[pattern], path)} == set()
