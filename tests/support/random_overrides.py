"""Random values in random fields: python -m tests.support.random_overrides --count=600

Each case is built, estimated and traced in this process, and every few also trained and measured; a
case must end in a run or in one line. Prints the counts; exit code 1 where a case failed otherwise.
"""

import argparse
import collections
import contextlib
import importlib
import io
import math
import os
from pathlib import Path
import resource
import signal
import tempfile
import time

import jax
import numpy as np

from experiments.support import measurement, memory
from experiments.support.assembly import build_evaluation, build_run
from experiments.support.options import resolve
from experiments.train import train_and_evaluate
from vae_jax import datasets, training
from vae_jax.tables import TABLES

SMALL, LARGE = (1, 2, 3, 7, 50), (1000, 10**6, 2**31 - 1, 2**31, 2**32, 10**12, 2**63)
INTEGERS = (*SMALL, *SMALL, *LARGE, 0, -1, -(2**63))
FLOATS = (0.0, 1.0, 0.5, 0.1, 2.0, 1e-6, 1e6, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf)
ELEMENTS = (*SMALL, *SMALL, *SMALL, 1000, 10**6, 10**12, 0, -1, "a", None, 1.5, math.nan, True)
NAMES = sorted({name for tables in TABLES.values() for table in tables.values() for name in table})
WORDS = (
    *("", "x", "none", "static", "dynamic", "tanh", "relu", "data", "random", "concrete"),
    *(
        "lower=dynamic,upper=none",
        "image=dynamic",
        "x=gaussian",
        "float64",
        "bfloat16",
        "a=,b",
        "=",
    ),
)
SWEEPS = (
    *("objective.beta=1,2", "objective.beta=nan", "vae.latent_dim=1,2", "objective.beta", ";;"),
    *("optimizer.learning_rate=1e-3,-1", "objective.beta=1;objective.beta=2", "x=1", "=", "beta=1"),
    "objective.beta=" + ",".join(map(str, range(2000))),
)
# They say where a process computes, which this one has decided.
LEFT_OUT = ("device", "compilation_cache", "matmul_precision", "distributed", "data.download")
CONFIGS = ("beta", "concrete", "cvae", "default", "halves", "quadrants", "two_layers", "vampprior")
SECONDS, BYTES = 60, 8e9


def fields_of(config, prefix=""):
    """Yield (field, type) of a config, but for those left out."""
    for name in config:
        field = f"{prefix}{name}"
        if field in LEFT_OUT:
            continue
        if config.get_type(name) is type(config):
            yield from fields_of(config[name], f"{field}.")
        else:
            yield field, config.get_type(name)


def draw(random, field, kind, files):
    """Draw a value of a field's type."""

    def pick(values):
        return values[random.integers(len(values))]

    if field == "data.path":
        return pick(files)
    if field == "sweep":
        return pick(SWEEPS)
    if kind is tuple:
        names = ("a", "b", "x", 1, None) if field == "data.fields" else ELEMENTS
        return tuple(pick(names) for _ in range(random.integers(4)))
    tables = {f"{block}.{row}": sorted(t) for block, ts in TABLES.items() for row, t in ts.items()}
    if field in tables and random.random() < 0.8:
        return pick(tables[field])
    return pick(
        {bool: (False, True), int: INTEGERS, float: FLOATS, str: WORDS + tuple(NAMES)}[kind]
    )


def write_files(folder):
    """Write arrays of several kinds, good and bad, and return their paths and others."""
    random = np.random.default_rng(0)
    arrays = {
        "grey": {
            "x": random.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8),
            "y": np.arange(60) % 3,
        },
        "real": {"x": random.normal(size=(60, 4)), "y": random.normal(size=(60, 2))},
        "fields": {
            "a": random.random((60, 4)),
            "b": random.integers(0, 2, (60, 3)),
            "x": np.ones(60),
        },
        "mask": {"x": random.random((60, 4)), "mask": random.integers(0, 2, (60, 4))},
        "few": {"x": random.random((4, 4))},
        "text": {"x": np.array(["a"] * 9)},
    }
    for name, each in arrays.items():
        np.savez(folder / f"{name}.npz", **each)
    os.mkfifo(folder / "fifo.npz")
    return [str(folder / f"{name}.npz") for name in (*arrays, "fifo", "missing")] + [
        "",
        str(folder),
    ]


def draw_config(random, files):
    """Return a config with one to four fields drawn, and what they are.

    It starts from one of the configs of the digits; most fields are among those that it uses, since
    an option of another row is refused at once.
    """
    config = importlib.import_module(f"configs.{random.choice(CONFIGS)}").get_config()
    drawn = {}
    for _ in range(random.integers(1, 5)):
        kinds = dict(fields_of(config))
        with contextlib.suppress(ValueError):
            used = dict(fields_of(resolve(config, list(drawn))[0]))
            kinds = used if random.random() < 0.9 else kinds
        field = sorted(kinds)[random.integers(len(kinds))]
        *block, name = field.split(".")
        block = config[block[0]] if block else config
        drawn[field] = block[name] = draw(random, field, block.get_type(name), files)
        if drawn[field] == "npz":  # without a file nothing else of it would be seen
            drawn["data.path"] = config.data.path = files[random.integers(4)]
    return config, drawn


def trace(config, typed):
    """Build what a config says; trace its training and evaluation, which computes nothing."""
    run = build_run(resolve(config, typed)[0])
    how = build_evaluation(run.config)
    memory.check_training_memory(run)
    num_examples = datasets.num_examples(run.dataset.test)
    memory.check_evaluation_memory(run, how, num_examples)
    state = jax.eval_shape(run.init, run.dataset.train)
    if not run.config.debug_nans:  # which computes instead of being traced
        jax.eval_shape(run.train_steps.__wrapped__, state, run.dataset.train, 1)
    size = min(how.batch_size, num_examples)
    params = jax.eval_shape(
        lambda: training.select_member(run.init(run.dataset.train), 0).params["vae"]
    )
    examples = jax.tree.map(lambda leaf: leaf[:size], measurement.model_examples(run, how, "test"))
    measure = measurement.make_run_measure(run, how, how.num_samples)
    jax.eval_shape(measure, params, np.arange(size), examples)


def train(config, typed):
    """Train and measure what a config says, shortened where that is what takes the time."""
    config.training.num_epochs = min(config.training.num_epochs, 1)
    config.evaluation.num_samples = min(config.evaluation.num_samples, 3)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        train_and_evaluate(resolve(config, typed)[0], Path(folder), extend=False)


def outcome(attempt, config, typed):
    """Return how a case ends: "run", "refused" or what went wrong."""
    signal.alarm(SECONDS)
    try:
        attempt(config, typed)
        return "run"
    except (ValueError, OSError) as error:
        lines = str(error).splitlines()
        return "refused" if len(lines) == 1 and len(lines[0]) < 700 else f"not one line: {error}"
    except FloatingPointError:
        return "diverged"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        jax.config.update("jax_enable_x64", False)


class TookTooLongError(Exception):
    """A case that takes longer than a user would wait without a word."""


def too_long(number, frame):
    """Stop the case that an alarm was set for."""
    raise TookTooLongError(f"more than {SECONDS} s")


def main():
    """Run all cases and print what became of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train_every", type=int, default=25, help="0: none")
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, too_long)
    random, counts, slowest = np.random.default_rng(given.seed), collections.Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder))
        for i in range(given.count):
            config, drawn = draw_config(random, files)
            started = time.monotonic()
            endings = [outcome(trace, config, list(drawn))]
            if endings == ["run"] and given.train_every and i % given.train_every == 0:
                endings.append(outcome(train, config, list(drawn)))
            slowest = max(slowest, time.monotonic() - started)
            if (i + 1) % 100 == 0:
                print(f"{i + 1} of {given.count}", flush=True)
            for what, ended in zip(("traced", "trained"), endings, strict=False):
                is_good = ended in ("run", "refused", "diverged")
                counts[f"{what}: {ended if is_good else 'bad'}"] += 1
                if not is_good:
                    print(f"{i}: {drawn}: {ended}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{dict(counts)}; slowest {slowest:.1f} s; at most {peak / 1e9:.1f} GB")
    raise SystemExit(int("bad" in str(counts) or peak > BYTES))


if __name__ == "__main__":
    main()
