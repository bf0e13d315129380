"""Runs whose training examples are streamed from the host: the same bits, and resumable."""

import json
import os
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments.support import console
from experiments.support.assembly import some_examples
from experiments.support.feeding import check_streaming, feeding
from experiments.support.loading import load_run
from tests.datasets.files import png_of, write_tfds
from tests.support.programs import build, train, typed
from vae_jax import datasets
from vae_jax.fast import threefry

SMALL = (
    "--config.vae.hidden=(8,)",
    "--config.vae.latent_dim=2",
    "--config.num_seeds=2",
    "--config.training.batch_size=8",
    "--config.training.num_epochs=4",
    "--config.training.log_every_steps=2",
    "--config.training.eval_every_epochs=2",
    "--config.training.checkpoint_every_epochs=1",
    "--config.evaluation.num_samples=2",
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A TFDS folder of Omniglot and a folder of images: {row: options}."""
    root, rng = tmp_path_factory.mktemp("sources"), np.random.default_rng(0)
    drawings = 255 * rng.integers(0, 2, (110, 105, 105, 3)).astype(np.uint8)
    parts = {"train": (drawings[:100], range(100)), "test": (drawings[100:], range(10))}
    write_tfds(root, "omniglot", "3.0.0", parts)
    (root / "images").mkdir()
    for i in range(100):
        (root / "images" / f"{i}.png").write_bytes(png_of(drawings[i, :20, :20]))
    return {
        "omniglot": {"name": "omniglot", "data_dir": str(root)},
        "images": {"name": "images", "path": str(root / "images"), "size": 8},
    }


def metrics_of(workdir):
    """Return the lines of metrics.jsonl without what the clock says."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    streamed = {"data_wait_ms" in line for line in lines if line["split"] == "train"}
    drop = ("data_wait_ms", "check")
    return [{k: v for k, v in line.items() if k not in drop} for line in lines], streamed


@pytest.mark.slow
@pytest.mark.parametrize(("name", "budget"), [("omniglot", 60_000), ("images", 15_000)])
def test_a_streamed_run_is_the_same_to_the_bit(sources, tmp_path, name, budget):
    """As the run with its examples on the device, and when it goes on from a checkpoint, from the
    middle of the run on. Oracle: the run on the device. Mutants: the order of epoch 0 throughout;
    resuming at the first chunk; initial biases of another set of examples."""
    options = sources[name]
    config = typed("default", *SMALL, *(f"--config.data.{k}={v!r}" for k, v in options.items()))
    assert budget < datasets.num_bytes(build(config).dataset.train)
    folders = [tmp_path / each for each in ("device", "streamed", "resumed")]
    flags = [*SMALL, *(f"--config.data.{k}={v}" for k, v in options.items())]

    def run(folder, size):
        # As users compile: without the optimizations that tests leave out, XLA rounds by what
        # stands around a batch.
        done = train(
            folder,
            *flags,
            f"--config.data.device_bytes={size}",
            config="default",
            env=os.environ | {"XLA_FLAGS": ""},
        )
        assert done.returncode == 0, done.stderr

    run(folders[0], 2**31)
    run(folders[1], budget)
    shutil.copytree(folders[1], folders[2])
    steps = sorted(int(each.name) for each in (folders[2] / "checkpoints").iterdir())
    for step in steps[1:]:  # as if it had been killed before these
        shutil.rmtree(folders[2] / "checkpoints" / str(step))
    assert len(steps) > 1
    run(folders[2], budget)
    first, *others = [jax.device_get(load_run(folder)[2]) for folder in folders]
    for other in others:
        jax.tree.map(np.testing.assert_array_equal, strip(first), strip(other))
    metrics, streamed = zip(*map(metrics_of, folders), strict=True)
    assert metrics[0] == metrics[1] == metrics[2]
    assert streamed == ({False}, {True}, {True})


def strip(state):
    return state._replace(key=jax.random.key_data(state.key))


def test_members_of_one_seed_share_a_chunk():
    """And each draws from its own. Mutants: as many copies as members; the first seed's for all."""
    flags = ("--config.num_seeds=2", "--config.sweep='objective.beta=1,2'", "--config.seed=3")
    run = build(typed("default", *flags, "--config.data.device_bytes=70000", *LOG))
    seeds = np.array([member.seed for member in run.members])
    state = SimpleNamespace(key=jax.vmap(threefry.key)(seeds))
    with feeding(run, state, [(0, 2)]) as feeds:
        (feed,) = feeds
    assert feed.source.examples.x.shape == (2 * 2 * 100, 8, 8, 1)
    assert feed.waiting["data_wait_ms"].shape == (4,) and (feed.waiting["data_wait_ms"] >= 0).all()


LOG = ("--config.training.log_every_steps=2", "--config.vae.hidden=(8,)")


def test_two_chunks_must_fit_into_the_budget():
    """6,800 bytes per step and seed. Mutants: one chunk is counted; one seed."""
    flags = ("--config.num_seeds=2", "--config.training.log_every_steps=2")
    run = build(typed("default", *flags, "--config.data.device_bytes=54400", *LOG))
    check_streaming(run)
    run = build(typed("default", *flags, "--config.data.device_bytes=54399", *LOG))
    with pytest.raises(
        ValueError, match=r"=54399 is less.*two times 2 steps, 13,600 .*log_every_steps to 1 or"
    ):
        check_streaming(run)
    run = build(typed("default", *flags, "--config.data.device_bytes=0", *LOG))
    with pytest.raises(ValueError, match=r"or lower config\.training\.batch_size$"):
        check_streaming(run)


def test_few_of_many_examples_set_the_first_biases(monkeypatch):
    """The same ones each time, all of few. Mutants: the first ones of a sorted set."""
    examples = datasets.Examples(np.arange(5000.0)[:, None], np.arange(5000))
    assert some_examples(examples) is examples
    monkeypatch.setattr("experiments.support.assembly._INIT_VALUES", 2000)
    some, again = some_examples(examples), some_examples(examples)
    assert len(some.x) == 2000 == len(np.unique(some.x))
    np.testing.assert_array_equal(some.x[:, 0], some.y)
    np.testing.assert_array_equal(some.x, again.x)
    error = 5000 / 12**0.5 / 2000**0.5  # of the mean of 2,000 uniform draws
    assert abs(some.x.mean() - 2499.5) < 4 * error


def test_the_wait_is_told_beside_the_bound():
    """Only where there is one. Mutant: 0 ms of examples on the device."""
    terms = {name: np.ones(1, np.float32) for name in ("elbo", "kl", "reconstruction")}
    assert "waiting" not in console.progress_text(terms)
    text = console.progress_text(terms | {"data_wait_ms": np.array([0.2512])})
    assert text.endswith("nats  waiting for data 0.251 ms per step")
