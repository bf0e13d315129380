"""The update: members, chunks and resuming change nothing; schedules follow the global step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax import datasets, objectives, training
from vae_jax.models import make_vae
from vae_jax.training.optimizers import OPTIMIZERS, make_optimizer, make_schedule


@pytest.fixture(scope="module")
def dataset():
    return datasets.load_digits()


def make_run(dataset, num_members=1, ema_decay=0.0, objective=None, at_once=None):
    """Return (state, train_steps) of a small VAE on the digits, member i with seed i."""
    vae = make_vae(dataset.shape, latent_dim=4, hidden=(16,))
    objective = objective or objectives.make_elbo()
    batches = datasets.make_batches(dataset, 100)
    schedule = make_schedule("cosine", num_steps=100, warmup_steps=10)
    optimizer = make_optimizer("adam", schedule, clip_norm=10.0)
    examples = datasets.expected_examples(dataset, dataset.train)
    state = training.init_members(
        jax.vmap(jax.random.key)(jnp.arange(num_members)),
        {"learning_rate": 1e-2, **objective.hparams},
        vae=vae,
        objective=objective,
        optimizer=optimizer,
        examples=examples,
        use_ema=ema_decay > 0,
    )
    step = training.make_train_step(vae, objective, optimizer, batches, ema_decay)
    return state, training.make_train_steps(step, batches, num_members, members_at_once=at_once)


def assert_trees_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, *map(readable, (a, b)))


def readable(tree):
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def test_chunks_do_not_change_the_run(dataset):
    """30 steps over two epoch ends, in one call or four, end bit-equal."""
    state, train_steps = make_run(dataset, ema_decay=0.9)
    whole, _ = train_steps(state, dataset.train, 30)
    pieces, train_steps = make_run(dataset, ema_decay=0.9)
    for stop in (1, 12, 17, 30):
        pieces, _ = train_steps(pieces, dataset.train, stop)
    assert_trees_equal(whole, pieces)


def test_any_number_of_steps_is_one_compilation(dataset):
    state, train_steps = make_run(dataset)
    for stop in (1, 5, 40):
        state, _ = train_steps(state, dataset.train, stop)
    assert train_steps._cache_size() == 1


def test_metrics_are_means_over_the_steps(dataset):
    state, train_steps = make_run(dataset)
    single = []
    for stop in range(1, 15):
        state, metrics = train_steps(state, dataset.train, stop)
        single.append(metrics["elbo"][0])
    state, train_steps = make_run(dataset)
    _, metrics = train_steps(state, dataset.train, 14)
    np.testing.assert_allclose(metrics["elbo"][0], np.mean(single), rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_member_equals_the_run_alone(dataset, at_once):
    """Over 20 steps, each of four seeds in one program and on its own, to float tolerance."""
    together, train_steps = make_run(dataset, num_members=4, at_once=at_once)
    together, metrics = train_steps(together, dataset.train, 20)
    assert metrics["elbo"].shape == (4,)
    assert together.step == 20
    vae_leaves = jax.tree.leaves(together.params)
    assert not np.allclose(vae_leaves[0][0], vae_leaves[0][1])
    state, _ = make_run(dataset, num_members=4)
    _, alone_steps = make_run(dataset)
    for member in range(4):
        alone = jax.tree.map(lambda leaf, m=member: leaf[m : m + 1], state._replace(step=()))
        alone, _ = alone_steps(alone._replace(step=jnp.int32(0)), dataset.train, 20)
        for a, b in zip(vae_leaves, jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(a[member], b[0], rtol=1e-4, atol=1e-5)


def test_moving_average_of_parameters(dataset):
    """ema_k = d ema_{k-1} + (1 - d) params_k, from the initial parameters; it is what is measured.

    A mutant with d and 1 - d exchanged is 0.8 of a step away.
    """
    state, train_steps = make_run(dataset, ema_decay=0.9)
    expected = jax.device_get(state.params)
    for stop in range(1, 4):
        state, _ = train_steps(state, dataset.train, stop)
        step = jax.device_get(state.params)
        expected = jax.tree.map(lambda e, p: 0.9 * e + 0.1 * p, expected, step)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4), state.ema, expected)
    assert state.evaluation_params is state.ema


def test_initial_bias_decodes_to_the_data_mean(dataset):
    """Bias: with a zero decoder weight, p(x|z) has the training mean, clipped."""
    state, _ = make_run(dataset)
    bias = state.params["vae"]["likelihood"]["output_bias"][0]
    mean = dataset.train.x.mean(0) / 16
    np.testing.assert_allclose(jax.nn.sigmoid(bias), np.clip(mean, 0.001, 0.999), atol=1e-5)


def test_schedules_follow_the_global_step():
    """Values against their definition; all is counted from step 0 of the run."""
    cosine = make_schedule("cosine", num_steps=110, warmup_steps=10, end_factor=0.1)
    steps = np.array([0, 5, 10, 60, 110, 1000])
    expected = [0, 0.5, 1, 0.55, 0.1, 0.1]
    np.testing.assert_allclose([cosine(step) for step in steps], expected, atol=1e-6)
    falls = make_schedule(
        "piecewise", num_steps=100, warmup_steps=10, boundaries=(20, 50), decay_factor=0.5
    )
    np.testing.assert_allclose([falls(s) for s in (5, 19, 20, 49, 50)], [0.5, 1, 0.5, 0.5, 0.25])
    assert make_schedule("constant", num_steps=3)(2) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cosin"}, "did you mean 'cosine'"),
        ({"name": "cosine", "warmup_steps": 10}, "0 .. 9"),
        ({"name": "cosine", "warmup_steps": -1}, "got -1"),
    ],
)
def test_bad_schedules_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_schedule(num_steps=10, **options)


@pytest.mark.parametrize("name", ["adam", "adamax", "adamw", "lion", "rmsprop", "sgd"])
def test_optimizers_scale_with_the_traced_rate(name):
    """Every optimizer's first update is proportional to hparams["learning_rate"]."""
    make = jax.jit(
        lambda rate: (
            lambda optimizer, params: optimizer.update(
                {"w": jnp.ones(2)}, optimizer.init(params), params
            )[0]
        )(
            make_optimizer(name, make_schedule("constant", num_steps=5))({"learning_rate": rate}),
            {"w": jnp.ones(2)},
        )
    )
    np.testing.assert_allclose(make(0.2)["w"], 2 * make(0.1)["w"], rtol=1e-5)
    assert (make(0.1)["w"] < 0).all()


@pytest.mark.parametrize("options", [{}, {"b1": 0.5, "b2": 0.9, "eps": 1e-3}])
def test_adam_is_adam(options):
    """Oracle: optax.adam, for gradients above and below eps. Mutants: eps not rescaled, the
    schedule read a step later, one of the corrections left out."""
    rates = optax.linear_schedule(1e-2, 1e-3, 20)
    ours, plain = OPTIMIZERS["adam"](rates, **options), optax.adam(rates, **options)
    params = {"w": jnp.zeros((3, 50))}
    state, plain_state = ours.init(params), plain.init(params)
    size = 10.0 ** np.array([[-10], [-6], [0]])
    for gradient in np.random.default_rng(0).normal(size=(20, 3, 50)) * size:
        gradients = {"w": jnp.float32(gradient)}
        updates, state = ours.update(gradients, state)
        plain_updates, plain_state = plain.update(gradients, plain_state)
        np.testing.assert_allclose(updates["w"], plain_updates["w"], rtol=2e-5, atol=1e-12)
    assert jax.tree.structure(state) == jax.tree.structure(plain_state)


def test_gradients_are_clipped_to_their_global_norm():
    schedule = make_schedule("constant", num_steps=5)
    optimizer = make_optimizer("sgd", schedule, clip_norm=1.0)({"learning_rate": 1.0})
    gradients = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    updates, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    np.testing.assert_allclose(optax.tree.norm(updates), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adaam", {}, "did you mean 'adam'"),
        ("adam", {"beta1": 0.5}, "option of optimizer 'adam'='beta1'"),
        ("adam", {"clip_norm": -1.0}, "got -1"),
    ],
)
def test_bad_optimizers_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(name, make_schedule("constant", num_steps=5), **options)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("num_members", [1, 2])
def test_the_update_lowers_for_accelerators(dataset, platform, num_members):
    """jax.export compiles the training call for platforms that this machine need not have."""
    state, train_steps = make_run(dataset, num_members)
    exported = jax.export.export(train_steps, platforms=[platform])(state, dataset.train, 10)
    assert exported.platforms == (platform,)


@pytest.mark.parametrize("num_members", [1, 2])
def test_the_first_nan_is_found(dataset, num_members):
    """An infinite rate makes the parameters NaN; the operation that meets them first is named."""
    vae = make_vae(dataset.shape, latent_dim=4, hidden=(16,))
    objective = objectives.make_elbo()
    batches = datasets.make_batches(dataset, 100)
    optimizer = make_optimizer("sgd")
    rate = {"learning_rate": jnp.inf, **objective.hparams}
    keys = jax.random.split(jax.random.key(0), num_members)
    examples = datasets.expected_examples(dataset, dataset.train)
    state = training.init_members(keys, rate, vae, objective, optimizer, examples)
    step = training.make_train_step(vae, objective, optimizer, batches)
    train_steps = training.make_train_steps(step, batches, num_members, debug_nans=True)
    with pytest.raises(FloatingPointError, match=r"nan generated by primitive.*\.py, line \d+"):
        train_steps(state, dataset.train, 5)
