"""Every benchmark in its reduced form: it ends and its numbers are finite. No time is judged."""

import json
import math
import os

import jax
import jax.numpy as jnp
import pytest

from benchmarks import products
from tests.support.programs import run_program

PROGRAMS = {"evaluation": [], "start": [], "train_step": ["--figure"]}


@pytest.fixture(scope="module")
def quick_compilation() -> dict[str, str]:
    """Environment of programs that compile many steps, each of which runs once.

    XLA's older emitters compile a step without optimization three times as fast; a jaxlib that has
    them no more refuses the option here, but would end a program that has it among its flags.
    """
    option = "xla_cpu_use_fusion_emitters"
    try:
        jax.jit(jnp.negative, compiler_options={option: False})(1.0)
    except jax.errors.JaxRuntimeError:
        return dict(os.environ)
    return os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --{option}=false"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_benchmark_runs(program, quick_compilation, tmp_path):
    path = tmp_path / "numbers.json"
    pictures = [f"{flag}={tmp_path / 'picture.png'}" for flag in PROGRAMS[program]]
    arguments = ["--reduced", f"--json={path}", *pictures]
    done = run_program(f"benchmarks.{program}", *arguments, env=quick_compilation)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(path.read_text())
    results = numbers if isinstance(numbers, list) else [{"milliseconds": numbers}]
    for result in results:
        values = result["milliseconds"].get("milliseconds", result["milliseconds"]).values()
        assert values and all(0 < value < math.inf for value in values)
    assert len(list(tmp_path.glob("*.png"))) == len(pictures)


def test_products_are_those_of_the_network():
    """Multiply-adds of a forward pass: the number of weights times the rows that they see."""
    layers = products.layers_of_vae(20, 200, num_samples=50)
    weights = [784 * 200, 200 * 200, 200 * 100, 50 * 200, 200 * 200, 200 * 784]
    rows = [20] * 3 + [1000] * 3
    assert [r * i * o for r, i, o in layers] == [r * w for r, w in zip(rows, weights, strict=True)]
