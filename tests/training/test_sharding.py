"""Which devices are used, and how many members are computed together on them."""

import os

import jax
import pytest

from experiments.support import processes
from vae_jax import datasets, training
from vae_jax.training.sharding import plan_placement


def test_placement_uses_the_devices_that_divide():
    """Devices of which one or the other number is a multiple; members come first."""
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


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 32)])
def test_members_at_once_on_a_cpu(monkeypatch, cores, expected):
    """One for every two cores that this process may use, at least one; None (all) where members are
    divided among devices. Mutant: the machine's cores, of which a container may use few."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    monkeypatch.setattr(os, "cpu_count", lambda: 1000)
    assert processes.members_at_once(training.Placement(1, "")) == expected
    assert processes.members_at_once(training.Placement(2, "batch")) == expected
    assert processes.members_at_once(training.Placement(2, "members")) is None


def test_members_at_once_on_an_accelerator(monkeypatch):
    """All of them."""
    gpu = type("Device", (), {"platform": "gpu"})()
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    assert processes.members_at_once(training.Placement(1, "")) is None
