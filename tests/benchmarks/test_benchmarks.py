"""Every benchmark in its reduced form: it ends and its numbers are finite. No time is judged."""

import json
import math

import pytest

from benchmarks import growth, peers, products, timing, train_step
from tests.support.programs import run_program

# {case: (program, arguments, flags of pictures)}
PROGRAMS = {
    "evaluation": ("evaluation", [], []),
    "start": ("start", [], []),
    "train_step, one section": ("train_step", ["--only=mlp"], []),
    "train_step": ("train_step", [], ["--figure"]),
}
# Peers and some thirty compilations; two programs one after the other.
SLOW = ("train_step, one section", "train_step", "start")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if c in SLOW else ()) for c in PROGRAMS]
)
def test_every_benchmark_runs(case, tmp_path):
    program, arguments, flags = PROGRAMS[case]
    path = tmp_path / "numbers.json"
    pictures = [f"{flag}={tmp_path / 'picture.png'}" for flag in flags]
    done = run_program(
        f"benchmarks.{program}", "--reduced", f"--json={path}", *arguments, *pictures
    )
    assert done.returncode == 0, done.stderr
    numbers = json.loads(path.read_text())
    results = numbers if isinstance(numbers, list) else [{"milliseconds": numbers}]
    for result in results:
        values = result["milliseconds"].get("milliseconds", result["milliseconds"]).values()
        assert values and all(0 < value < math.inf for value in values)
    assert len(list(tmp_path.glob("*.png"))) == len(pictures)


def test_a_section_of_the_training_step_runs(monkeypatch):
    """Without the peers: this project's step and the bare products. Mutant: a step that raises."""
    monkeypatch.setattr(peers, "PEERS", {})
    (result,) = train_step.compare_mlp(timing.REDUCED, reduced=True)
    milliseconds = result["milliseconds"]
    assert set(milliseconds) == {"vae_jax", "products, numpy", "products, jax"}
    assert all(0 < value < math.inf for value in milliseconds.values())


def test_devices_that_share_the_work_are_compared_with_one():
    """The line of the products starts at one device; where work grows, it ends at the most work."""
    milliseconds = {"1": 4.0, "2": 5.0, "4": 8.0}
    result = {"title": "growth with n", "milliseconds": milliseconds, "sizes": [1, 2, 4]}
    result |= {"exponent": 0.7}
    same = result | {"work": [6, 6, 6], "work_exponent": 0.0}
    more = result | {"work": [6, 12, 24], "work_exponent": 1.0}
    lines = [axes.lines[1] for axes in growth.draw([same, more]).axes[:2]]
    assert [list(line.get_ydata()) for line in lines] == [[4, 4, 4], [2, 4, 8]]
    assert "the same work" in lines[0].get_label() and "same" not in lines[1].get_label()


def test_products_are_those_of_the_network():
    """Multiply-adds of a forward pass: the number of weights times the rows that they see."""
    layers = products.layers_of_vae(20, 200, num_samples=50)
    weights = [784 * 200, 200 * 200, 200 * 100, 50 * 200, 200 * 200, 200 * 784]
    rows = [20] * 3 + [1000] * 3
    assert [r * i * o for r, i, o in layers] == [r * w for r, w in zip(rows, weights, strict=True)]
