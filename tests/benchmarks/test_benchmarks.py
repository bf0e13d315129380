"""Every benchmark in its reduced form: it ends and its numbers are finite. No time is judged."""

import json
import math
import sys

import pytest

from benchmarks import end_to_end, growth, objectives, peers, products, timing, train_step
from tests.support.programs import run_program
from vae_jax.objectives import ESTIMATORS, OBJECTIVES, make_objective

# {case: (program, arguments, flags of pictures)}
PROGRAMS = {
    "disentanglement": ("disentanglement", [], []),
    "end_to_end, training": ("end_to_end", ["--only=training"], []),
    "end_to_end, sweep": ("end_to_end", ["--only=sweep"], []),
    "evaluation": ("evaluation", [], []),
    "memory": ("memory", [], []),
    "objectives": ("objectives", [], []),
    "start": ("start", [], []),
    "train_step, one section": ("train_step", ["--only=mlp"], []),
    "train_step": ("train_step", [], ["--figure"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PROGRAMS)
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


@pytest.mark.slow
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


def test_every_objective_and_estimator_is_measured():
    """Each in a combination that can be made. Mutant: a list beside the table."""
    combinations = objectives.combinations()
    assert {name for name, _ in combinations} == set(OBJECTIVES)
    assert {estimator for _, estimator in combinations} >= set(ESTIMATORS)
    for name, estimator in combinations:
        make_objective(name, **objectives.options_for(name, estimator, num_samples=10))


@pytest.mark.slow
def test_a_step_of_an_estimator_runs():
    """Mutant: an option that its objective does not take; a step that raises."""
    objectives.make_step("miwae", "piwae", num_samples=5, batch_size=2, hidden=8)(1)


def test_relative_costs_are_those_of_the_same_samples():
    """Mutants: an estimator relative to another objective; one sample relative to many."""
    times = {f"{name} {each}".strip(): 2.0 for name, each in objectives.combinations()}
    times |= {"elbo pathwise": 4.0, objectives.ONE_SAMPLE: 1.0, "iwae vimco": 6.0}
    costs = objectives.relative_costs(times, {"hidden": 200, "num_samples": 50, "batch_size": 20})
    assert costs["objectives"]["iwae"] == 0.5 and costs["objectives"]["elbo"] == 1
    assert costs["objectives"]["factor_vae"] == 2
    assert costs["estimators"]["vimco"] == 3 and costs["estimators"]["piwae"] == 1
    assert costs["estimators"]["leave_one_out"] == 0.5


def test_a_sweep_of_processes_is_every_beta_with_every_seed(monkeypatch):
    """Means are over the seeds, memory is of as many processes as run at a time. Mutants: a seed
    left out; the memory of one process; a mean over all models."""

    def run_peer(name, work, beta, seed, **variables):
        return end_to_end.Result(1.0, 100.0 + seed, {"": -10 * float(beta) - seed})

    monkeypatch.setattr(end_to_end, "run_peer", run_peer)
    work = end_to_end.Work(None, {}, ["1", "4"], seeds=3, epochs=2)
    result = end_to_end.sweep_pytorch(work, 2)
    assert result.elbos == {"beta=1": -11, "beta=4": -41}
    assert result.megabytes == 2 * 102


def test_only_a_missing_package_leaves_a_peer_out(capsys):
    """Mutant: a program that fails is left out with a line, and nobody notices."""

    def fail(message):
        raise RuntimeError(message)

    done = end_to_end.Result(2.0, 1.0, {"": -90.0})
    runs = {"a": lambda: done, "b": lambda: fail("ModuleNotFoundError: No module named 'b'")}
    compared = end_to_end.compare("training", runs)
    assert compared["milliseconds"] == {"a": 2000} and "b is left out" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="out of memory"):
        end_to_end.compare("training", {"a": lambda: fail("out of memory")})


@pytest.mark.slow
def test_a_command_is_measured_to_its_end():
    """An array of 300 MB and a pause of half a second. Mutants: memory at the start; seconds to the
    start of the process; a failure that is not noticed."""
    code = "import numpy, time; x = numpy.ones(300 * 10**6, 'u1'); del x; time.sleep(.5)"
    seconds, megabytes = end_to_end.run_command([sys.executable, "-c", code])
    assert seconds > 0.5 and 300 < megabytes < 400
    with pytest.raises(RuntimeError, match="ValueError: no"):
        end_to_end.run_command([sys.executable, "-c", "raise ValueError('no')"])
