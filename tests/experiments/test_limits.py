"""Numbers beyond what a run can use, and runs that no memory holds, are refused in one line."""

import re
import subprocess
import sys
import threading
import types

import jax
import numpy as np
import pytest

from configs import default
from experiments.support import cli, console, memory, progress, sweeps
from experiments.support.assembly import build_evaluation
from experiments.support.limits import check_numbers, count_steps
from experiments.support.options import resolve
from tests.support.programs import ROOT, build, with_fields
from vae_jax import datasets, evaluation, models, objectives, training
from vae_jax.fast import threefry
from vae_jax.lookup import check_not_negative, check_positive
from vae_jax.models.make import check_shape
from vae_jax.networks import check_sizes

# {case: (fields, what the line says)}
NUMBERS = {
    "seed": ({"seed": 2**32}, "config.seed must be at most 4,294,967,295, got 4294967296"),
    "negative seed": ({"seed": -1}, "config.seed must be >= 0"),
    "last seed": ({"seed": 2**32 - 1, "num_seeds": 2}, "config.num_seeds - 1 must be at most 4,2"),
    "evaluation": ({"evaluation__seed": 2**64}, "config.evaluation: seed must be at most 4,294"),
    "samples": ({"evaluation__num_samples": 10**12}, "num_samples must be at most 1,000,000,000"),
    "no chunk": ({"evaluation__chunk_size": 0}, "config.evaluation: chunk_size must be above 0"),
    "trace": ({"training__profile_steps": 10**12}, "profile_steps must be at most 1,000, got"),
    "patience": ({"training__patience": -1}, "config.training: patience must be >= 0, got -1"),
}  # fmt: skip


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_out_of_range(case):
    fields, message = NUMBERS[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        check_numbers(with_fields(default.get_config(), **fields))


def test_numbers_within_range_are_taken():
    """Large ones that only say "never" or "all at once" are no mistakes."""
    fields = {
        "seed": 2**32 - 1,
        "evaluation__batch_size": 10**12,
        "evaluation__chunk_size": 10**12,
        "training__log_every_steps": 10**12,
        "training__patience": 10**12,
    }
    check_numbers(with_fields(default.get_config(), **fields))


def test_seeds_keep_all_of_their_bits():
    """Mutant: seeds of 31 bits, or 2^32 taken as 0. Small seeds give the keys that they gave."""
    seeds = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    words = [jax.random.key_data(threefry.key(jax.numpy.uint32(seed))).tolist() for seed in seeds]
    assert words == [[0, seed] for seed in seeds]
    with pytest.raises(ValueError, match=r"^seed must be at most 4,294,967,295, got 4294967296$"):
        datasets.from_arrays(np.zeros((9, 2)), seed=2**32)


def test_steps_are_counted_by_32_bits():
    assert count_steps(178_956_970, 12) == 2_147_483_640
    with pytest.raises(ValueError, match=r"num_epochs must be at most 178,956,970, as an"):
        count_steps(178_956_971, 12)


def test_the_number_of_members_is_limited():
    """Before any list of them is made: 10^9 seeds must not fill the memory."""
    config, _ = resolve(default.get_config())
    config.num_seeds, config.sweep = 10**9, "objective.beta=1,2"
    with pytest.raises(ValueError, match="ask for 2,000,000,000 members, at most 10,000 train in"):
        sweeps.plan_members(config, {"beta": 1.0})


SIZES = ["latent_dim", "hidden", "num_components", "flow_layers", "flow_hidden", "num_classes"]
ROWS = {
    "num_components": {"prior": "mixture"},
    "flow_layers": {"posterior": "coupling"},
    "flow_hidden": {"posterior": "coupling"},
    "num_classes": {"posterior": "categorical", "prior": "uniform_categorical"},
}


@pytest.mark.parametrize("bad", [0, -(2**63), 10**12])
@pytest.mark.parametrize("name", SIZES)
def test_sizes_lie_in_one_to_a_million(name, bad):
    value = (8, bad) if "hidden" in name else bad
    with pytest.raises(ValueError, match=rf"^{name} must be (>= 1|at most 1,000,000), got"):
        models.make_vae((6,), likelihood="gaussian", **ROWS.get(name, {}), **{name: value})


# The functions that are annotated with types are refused other ones by the tests' type checker;
# these are what the programs call of them.
@pytest.mark.parametrize("bad", ["a", None, 1.5, float("nan"), True])
@pytest.mark.parametrize("several", [False, True])
def test_sizes_are_whole_numbers(bad, several):
    value = (8, bad) if several else bad
    with pytest.raises(ValueError, match=r"^hidden must be a whole number \(or several\), got"):
        check_sizes(hidden=value)
    for check in (check_positive, check_not_negative):
        with pytest.raises(ValueError, match=r"^beta must be (a number|>= 0 and|above 0 and)"):
            check(beta="a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": (2,) * 65}, "hidden must name at most 64 layers, got 65"),
        ({"posterior": "full_gaussian", "latent_dim": 10_001}, "full covariance must be at most"),
        (ROWS["num_classes"] | {"latent_dim": 2000, "num_classes": 2000}, "latent_dim * num_clas"),
    ],
)
def test_sizes_that_only_together_are_too_large(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        models.make_vae((6,), likelihood="gaussian", **options)


@pytest.mark.parametrize("shape", [6, None, "ab", (2.0,), (0,), {}, {"a": 3}])
def test_what_is_no_shape_of_an_example(shape):
    with pytest.raises(ValueError, match=r"^shape (must|of x must)"):
        check_shape(shape)


@pytest.mark.parametrize("bad", [(-1,), (2**31,)])
def test_boundaries_are_steps(bad):
    with pytest.raises(ValueError, match=r"^boundaries must be"):
        training.make_schedule("piecewise", num_steps=100, boundaries=bad)


@pytest.mark.parametrize(
    "options",
    [{"b1": 1.0}, {"b2": float("nan")}, {"eps": -1.0}, {"b1": -0.5}],
)
def test_options_of_an_optimizer_are_in_range(options):
    (name,) = options
    with pytest.raises(ValueError, match=rf"^{name} must "):
        training.make_optimizer("adam", **options)


@pytest.mark.parametrize("options", [{"end_factor": float("nan")}, {"end_factor": -1.0}])
def test_options_of_a_schedule_are_in_range(options):
    with pytest.raises(ValueError, match="end_factor must be >= 0 and finite"):
        training.make_schedule("cosine", num_steps=10, **options)


def test_samples_are_limited_and_any_warm_up_can_be_divided_by():
    with pytest.raises(ValueError, match="num_samples must be at most 1,000,000"):
        objectives.make_objective("iwae", num_samples=10**12)
    weight = objectives.schedules.LinearWarmup(10**12)(jax.numpy.int32(10))
    np.testing.assert_allclose(weight, 1e-11, rtol=1e-6)


def test_a_batch_is_no_larger_than_the_examples():
    """Mutant: 10^12 repetitions of the last example."""
    sizes = []

    def batched(params, indices, examples):
        sizes.append(len(indices))
        return examples

    examples = np.arange(7.0)
    result = evaluation.map_examples(batched, None, examples, 10**12)
    np.testing.assert_array_equal(result, examples)
    assert sizes == [7]


def small_run(**fields):
    """Return the run of the default config with two hidden layers of 8 and 4."""
    sizes = {"vae__hidden": (8, 4), "vae__latent_dim": 3, "training__batch_size": 10}
    return build(with_fields(default.get_config(), **sizes | fields))


def test_bytes_of_the_layers_are_those_of_their_outputs():
    """Of 10 examples and 5 samples: the encoder once per example, the decoder once per sample."""
    run = small_run()
    state = jax.eval_shape(run.init, run.dataset.train)
    per_example, per_sample = 8 + 4 + 2 * 3, 4 + 8 + 64
    expected = 4 * 10 * (per_example + 5 * per_sample)
    assert memory.layers_bytes(run, state, 10, 5) == expected


@pytest.mark.slow
def test_no_more_is_asked_for_than_xla_needs():
    """Oracle: XLA's own analysis of the compiled training, for wide layers and for many samples."""
    for fields in (
        {"vae__hidden": (1000, 1000)},
        {"vae__hidden": (200, 200), "objective__num_samples": 300},
    ):
        run = small_run(**fields)
        state = jax.eval_shape(run.init, run.dataset.train)
        compiled = run.train_steps.__wrapped__.lower(state, run.dataset.train, 10).compile()
        needs = compiled.memory_analysis()
        needed = needs.temp_size_in_bytes + needs.argument_size_in_bytes
        leaves = jax.tree.leaves(state._replace(key=()))
        told = 2 * sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
        told += memory.layers_bytes(run, state, 10, run.config.objective.num_samples)
        assert 0.3 * needed < told <= needed


def test_what_no_memory_holds_is_refused_before_it_is_made(monkeypatch):
    """Parameters, gradients' averages and their successors: 2 x 3 x 4 bytes of a 10^6 x 10^6 layer
    are 24 TB, in the encoder and in the decoder. Mutant: the state counted once."""
    run = small_run(vae__hidden=(10**6, 10**6))
    with pytest.raises(ValueError, match=r"^the training state needs at least 48 TB of memory, of"):
        memory.check_training_memory(run)
    run = small_run()
    monkeypatch.setattr(memory, "memory_here", lambda: 10**9)
    memory.check_training_memory(run)
    how = build_evaluation(run.config)
    memory.check_evaluation_memory(run, how, 360)
    with pytest.raises(ValueError, match=r"^a batch of the evaluation needs at least 12 GB of mem"):
        memory.check_evaluation_memory(run, how._replace(num_samples=10**7), 360)
    many = small_run(objective__num_samples=10**6, training__batch_size=100)
    with pytest.raises(ValueError, match=r"^a step of the training needs at least 30\.4 GB"):
        memory.check_training_memory(many)


def test_the_warm_up_of_a_short_run_is_shorter():
    """A tenth of it: 1 of 12 steps; 100 from 1,000 steps on. What is typed stays as it is."""
    assert small_run(training__num_epochs=1).config.optimizer.warmup_steps == 12
    short = small_run(training__num_epochs=1, training__batch_size=100)
    assert short.config.optimizer.warmup_steps == 1
    assert small_run().config.optimizer.warmup_steps == 100
    with pytest.raises(ValueError, match=r"warmup_steps must lie in 0 \.\. 11 .*, got 100"):
        small_run(training__num_epochs=1, training__batch_size=100, optimizer__warmup_steps=100)


def test_slow_work_is_announced(capsys):
    with console.say_if_slow("nothing to say", seconds=60.0):
        pass
    with console.say_if_slow("compiling", seconds=0.01):
        for timer in threading.enumerate():
            if isinstance(timer, threading.Timer):
                timer.join()
    printed = capsys.readouterr().out
    assert "compiling" in printed and "nothing" not in printed


def test_data_far_from_the_likelihood_are_told(capsys):
    """Grey values 0 .. 255 as floats under sigma = 1: thousands of nats per value."""
    run = small_run()
    progress.warn_of_scale(run, {"reconstruction": np.array([-64 * 9.0, np.nan])})
    assert not capsys.readouterr().out
    progress.warn_of_scale(run, {"reconstruction": np.array([-64 * 8000.0, np.nan])})
    printed = " ".join(capsys.readouterr().out.split())
    assert "-8e+03 nats per value of x" in printed and "divide them by their standard" in printed


@pytest.mark.parametrize(
    ("step", "term", "message"),
    [
        (
            0,
            0,
            "elbo became NaN or infinite at step 0: at the initial parameters: it is not the le",
        ),
        (0, 1, "a parameter became NaN or infinite at step 0: lower optimizer.learning_rate"),
        (7, 0, "elbo became NaN or infinite at step 7: lower optimizer.learning_rate"),
    ],
)
def test_a_run_that_begins_without_a_bound_does_not_blame_the_learning_rate(step, term, message):
    """Metrics of step 0 are those of the initial parameters, which no update has touched."""
    run = types.SimpleNamespace(members=[sweeps.Member(0, {})])
    failure = training.Failure(np.array([step]), np.array([term]))
    state = types.SimpleNamespace(failure=failure)
    with pytest.raises(FloatingPointError, match=re.escape(message)):
        progress.check_members(run, state, ["elbo"], 0)


def test_what_the_memory_cannot_hold_is_one_line(capsys):
    """What jax raises when an allocation fails; other errors of jax stay as they are."""
    for error in (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\n"), MemoryError()):
        with pytest.raises(SystemExit) as ended, cli.user_errors():
            raise error
        printed = capsys.readouterr().err
        assert ended.value.code == cli.FAILURE
        assert printed.count("\n") == 1 and "lower the sizes of batches, samples" in printed
    with pytest.raises(jax.errors.JaxRuntimeError), cli.user_errors():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


@pytest.mark.slow
def test_random_overrides_end_in_a_run_or_in_one_line():
    """600 configs with random values in random fields, of which some are trained."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.random_overrides", "--count=600"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
