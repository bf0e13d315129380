"""Which devices are used, how many members are computed together on them, and that it does not
change what they are."""

import os
import subprocess
import sys
from typing import NamedTuple

import jax
import pytest

from experiments.support import processes
from tests.support.programs import ROOT
from vae_jax import datasets, training
from vae_jax.training.sharding import plan_placement


def test_placement_uses_the_devices_that_divide():
    """Devices that divide the batch, or of which there are not more than members."""
    devices = jax.devices() * 8  # stand-ins: a plan of one needs no mesh
    assert plan_placement(devices[:1], 8, 96).num_devices == 1
    assert plan_placement(devices, 1, 97).num_devices == 1
    assert plan_placement(devices, 1, 97).state is None


def test_one_device_moves_nothing():
    """Mutant: a copy of the state for a plan that needs none."""
    placement = plan_placement(jax.devices()[:1], 1, 10)
    state = training.TrainState(*[0] * len(training.TrainState._fields))
    assert placement.put(state) is state and placement.collect(state) is state
    batches = datasets.Batches(1, None, None)
    assert training.divide_batches(batches, placement) is batches


@pytest.fixture
def cores(monkeypatch, tmp_path):
    """set_cores(cores, quota): how many cores the process and its container may use."""

    def set_cores(cores, quota="max 100000"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
        monkeypatch.setattr(os, "cpu_count", lambda: 1000)
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
        monkeypatch.setattr(processes, "_CORES_OF_CONTAINER", tmp_path / "cpu.max")

    return set_cores


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 32)])
def test_members_at_once_on_a_cpu(cores, count, expected):
    """One for every two cores that this process may use, at least one, where members are divided
    for every two of each device. Mutant: the machine's cores, of which a container may use few."""
    cores(count)
    assert processes.members_at_once(training.Placement(1, "")) == expected
    assert processes.members_at_once(training.Placement(2, "batch")) == expected
    assert processes.members_at_once(training.Placement(2, "members")) == max(1, expected // 2)


def test_cores_of_a_container(cores):
    """1.5 cores of processor time are one core, 2.5 two. Mutant: the cores that are there."""
    cores(4)
    assert processes.num_cores() == 4
    cores(4, "250000 100000")
    assert processes.num_cores() == 2
    cores(4, "50000 100000")
    assert processes.num_cores() == 1


class Core(NamedTuple):
    """A stand-in for one of several devices."""

    platform: str = "cpu"


@pytest.mark.parametrize(
    ("num_members", "data_bytes", "expected"),
    [(1, 10, 1), (3, 10, 3), (9, 10, 8), (9, 30, 3), (9, 200, 1), (9, 0, 8)],
)
def test_a_core_for_each_member_as_far_as_memory_goes(
    monkeypatch, num_members, data_bytes, expected
):
    """Eight cores, 100 bytes for all copies of the data. Mutants: one member on all cores, more
    copies than the budget holds, a division by zero for data that are rendered."""
    monkeypatch.setattr(jax, "devices", lambda: [Core()] * 8)
    assert len(processes.choose_devices(num_members, data_bytes, 100)) == expected


def test_a_number_of_devices_that_the_user_set_stands(monkeypatch):
    """All devices are planned with, and jax's own option is left alone. Mutant: as by default."""
    monkeypatch.setattr(jax, "devices", lambda: [Core()] * 8)
    before = jax.config.jax_num_cpu_devices
    for name, value in {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_NUM_CPU_DEVICES": "8",
    }.items():
        with monkeypatch.context() as context:
            context.setenv(name, value)
            assert len(processes.choose_devices(1, 10, 100)) == 8
            processes.make_cores_devices()
    assert jax.config.jax_num_cpu_devices == before
    monkeypatch.setattr(jax, "devices", lambda: [Core("gpu")] * 8)
    assert len(processes.choose_devices(1, 10, 100)) == 8


ON_DEVICES = """
import jax, numpy as np
from tests.training import small
from vae_jax import training

dataset = small.load_digits()
placement = training.plan_placement(jax.devices(), 5, 100)
assert placement.divided == "members" and placement.counts == (2, 2, 1), placement
alone, state = small.make_state(dataset, 5), placement.put(small.make_state(dataset, 5))
small.assert_trees_equal(placement.collect(state), alone)
on_one = small.make_steps(dataset, members_at_once=1)
on_three = small.make_steps(dataset, placement=placement, members_at_once=1)
source = jax.device_put(dataset.train, placement.copied)
program = on_three.jitted.lower(state, source, 20).compile().as_text()
assert "all-" not in program and "collective" not in program
for stop in (7, 20):
    alone, expected = on_one(alone, dataset.train, stop)
    state, metrics = on_three(state, source, stop)
assert state.step == 20 and metrics["elbo"].shape == (5,)
for ours, theirs in ((placement.collect(state).params, alone.params), (metrics, expected)):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, theirs)
"""


@pytest.mark.slow
def test_members_on_three_devices_equal_those_on_one():
    """Five members, of which one device has one less: parameters and metrics after 20 steps in two
    calls, and the state itself, there and back. Mutants: a member twice, another order, the copy
    in an empty place taken for a member; metrics that the compiled program collects, which lets
    a device that is done wait for the others."""
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "3", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_members_at_once_on_an_accelerator(monkeypatch):
    """All of them."""
    gpu = type("Device", (), {"platform": "gpu"})()
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    assert processes.members_at_once(training.Placement(1, "")) is None
