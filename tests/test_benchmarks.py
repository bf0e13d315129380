"""Every benchmark in its reduced form: it ends and its numbers are finite. No time is judged."""

import json
import math

from conftest import run_program
import pytest

from benchmarks import products

PROGRAMS = {
    "evaluation": [],
    "start": [],
    "train_step": ["--only=mlp", "--only=iwae"],
    "train_step, the rest": ["--only=members", "--only=conv", "--only=growth"],
}


@pytest.mark.parametrize(
    "program",
    [pytest.param(name, marks=[pytest.mark.slow] * ("train" in name)) for name in PROGRAMS],
)
def test_every_benchmark_runs(program, tmp_path):
    path = tmp_path / "numbers.json"
    arguments = ["--reduced", f"--json={path}", *PROGRAMS[program]]
    done = run_program(f"benchmarks.{program.partition(',')[0]}", *arguments)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(path.read_text())
    results = numbers if isinstance(numbers, list) else [{"milliseconds": numbers}]
    for result in results:
        values = result["milliseconds"].get("milliseconds", result["milliseconds"]).values()
        assert values and all(0 < value < math.inf for value in values)


def test_products_are_those_of_the_network():
    """Multiply-adds of a forward pass: the number of weights times the rows that they see."""
    layers = products.layers_of_vae(20, 200, num_samples=50)
    weights = [784 * 200, 200 * 200, 200 * 100, 50 * 200, 200 * 200, 200 * 784]
    rows = [20] * 3 + [1000] * 3
    assert [r * i * o for r, i, o in layers] == [r * w for r, w in zip(rows, weights, strict=True)]
