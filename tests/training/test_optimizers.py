"""Optimizers against their definitions and against optax; schedules follow the global step."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.training.optimizers import OPTIMIZERS, join_optimizers, make_optimizer, make_schedule


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
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"schedule": "cosine", "warmup_steps": 10}, "0 .. 9"),
        ({"schedule": "cosine", "warmup_steps": -1}, "got -1"),
        ({"schedule": "constant", "end_factor": 0.1}, "an option of schedule=cosine only"),
    ],
)
def test_bad_schedules_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_schedule(num_steps=10, **options)


@pytest.mark.parametrize("name", OPTIMIZERS)
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


def random_gradients(steps):
    rng = np.random.default_rng(0)
    shapes = {"bias": (3,), "kernel": (4, 3), "convolution": (2, 3, 5), "scale": ()}
    return [{k: jnp.float32(rng.normal(size=s)) for k, s in shapes.items()} for _ in range(steps)]


def updates_of(optimizer, gradients, **extra):
    update = jax.jit(optimizer.update)
    state, outputs = optimizer.init(gradients[0]), []
    for step, each in enumerate(gradients):
        updates, state = update(each, state, None, **{k: f(step) for k, f in extra.items()})
        outputs.append(updates)
    return outputs


def test_soap_is_algorithm_3():
    """Oracle: Algorithm 3 of Vyas et al. (2024) in float64, step by step for one matrix; the
    momentum stays in the original space there, as in the paper. Mutants: a momentum that is not
    turned with the basis, a basis transposed, one side's matrix for the other's, the mean of outer
    products with b1, a basis a step late (whether the step is told or not)."""
    b1, b2, eps, every, rate = 0.9, 0.8, 1e-4, 3, 0.1
    gradients = random_gradients(11)
    soap = OPTIMIZERS["soap"](rate, b1=b1, b2=b2, eps=eps, update_every=every)
    ours = updates_of(soap, gradients)
    told = updates_of(soap, gradients, step=jnp.int32)
    jax.tree.map(np.testing.assert_array_equal, told, ours)
    for name, (m, n) in {"kernel": (4, 3), "convolution": (6, 5)}.items():
        left, right, u, v = np.zeros((m, m)), np.zeros((n, n)), np.eye(m), np.eye(n)
        mean, square = np.zeros((m, n)), np.zeros((m, n))
        for t, each in enumerate(gradients, start=1):
            g = np.float64(each[name]).reshape(m, n)
            mean = b1 * mean + (1 - b1) * g
            square = b2 * square + (1 - b2) * (u.T @ g @ v) ** 2
            seen = (u.T @ mean @ v) / (1 - b1**t) / (np.sqrt(square / (1 - b2**t)) + eps)
            expected = -rate * u @ seen @ v.T
            np.testing.assert_allclose(ours[t - 1][name].reshape(m, n), expected, atol=2e-5)
            left, right = b2 * left + (1 - b2) * g @ g.T, b2 * right + (1 - b2) * g.T @ g
            if t % every == 0:
                u, v = np.linalg.qr(left @ u)[0], np.linalg.qr(right @ v)[0]


def test_soap_whitens_a_matrix():
    """Oracle: for a gradient U S V^T that never changes, bases become U and V, in which Adam makes
    every singular value one: the update is -rate U V^T. Mutants: no rotation, one side only."""
    rng = np.random.default_rng(1)
    u, v = (np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(2))
    gradient = {"w": jnp.float32(u @ np.diag([8, 4, 2, 1]) @ v.T)}
    last = updates_of(OPTIMIZERS["soap"](0.1, eps=1e-3, update_every=1), [gradient] * 60)[-1]
    np.testing.assert_allclose(last["w"], -0.1 * u @ v.T, atol=5e-4)


def test_soap_without_rotations_is_adam():
    """Oracle: optax.adam; sides longer than the largest are not rotated, nor are vectors."""
    gradients = random_gradients(5)
    plain = updates_of(optax.adam(0.1, 0.95, 0.95), gradients)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5),
        updates_of(OPTIMIZERS["soap"](0.1, largest_side=1, update_every=1), gradients),
        plain,
    )
    rotated = updates_of(OPTIMIZERS["soap"](0.1, update_every=1), gradients)
    np.testing.assert_allclose(rotated[-1]["bias"], plain[-1]["bias"], rtol=2e-5)
    assert np.abs(rotated[-1]["kernel"] - plain[-1]["kernel"]).max() > 1e-2


def test_soap_decomposes_only_where_it_is_due():
    """Members that share their step share the condition on it: it is no choice between two results,
    which would both be computed at each step. Mutant: a condition on each member's own count."""
    optimizer = OPTIMIZERS["soap"](0.1)
    gradients = jax.tree.map(lambda *leaves: jnp.stack(leaves), *random_gradients(2))
    state = jax.vmap(optimizer.init)(gradients)
    update = lambda g, s, step: optimizer.update(g, s, None, step=step)  # noqa: E731
    traced = jax.make_jaxpr(jax.vmap(update, (0, 0, None)))(gradients, state, 0)
    conditions = [each for each in traced.eqns if each.primitive.name == "cond"]
    others = [each for each in traced.eqns if each.primitive.name != "cond"]
    assert "name=qr" in str(conditions) and "name=qr" not in str(others)


def test_gradients_are_clipped_to_their_global_norm():
    schedule = make_schedule("constant", num_steps=5)
    optimizer = make_optimizer("sgd", schedule, clip_norm=1.0)({"learning_rate": 1.0})
    gradients = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    updates, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    np.testing.assert_allclose(optax.tree.norm(updates), 1.0, rtol=1e-6)


def test_joined_optimizers_update_a_part_of_the_parameters_each():
    """Oracle: the updates of SGD by hand, for two members with rates of their own; the one part is
    clipped, whatever the gradient of the other. Mutants: one optimizer for both, parts exchanged,
    the norm over both."""
    clipped = make_optimizer("sgd", clip_norm=1.0)
    plain = make_optimizer("sgd")
    joined = join_optimizers(clipped, lambda hparams: plain({"learning_rate": hparams["own_rate"]}))
    gradients = {"vae": {"w": jnp.array([3.0, 4.0])}, "objective": {"w": jnp.array([100.0])}}

    def update(hparams):
        optimizer = joined(hparams)
        return optimizer.update(gradients, optimizer.init(gradients), gradients)[0]

    rates = {"learning_rate": jnp.array([1.0, 0.5]), "own_rate": jnp.array([0.1, 0.2])}
    updates = jax.jit(jax.vmap(update))(rates)
    np.testing.assert_allclose(updates["vae"]["w"], [[-0.6, -0.8], [-0.3, -0.4]], rtol=1e-6)
    np.testing.assert_allclose(updates["objective"]["w"], [[-10.0], [-20.0]], rtol=1e-6)


def test_an_optimizer_of_no_parameters_is_refused():
    joined = join_optimizers(make_optimizer("sgd"), make_optimizer("adam"))
    with pytest.raises(ValueError, match="has no parameters of its own: leave objective_optimizer"):
        joined({"learning_rate": 0.1}).init({"vae": {"w": jnp.ones(2)}, "objective": {}})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adaam", {}, "did you mean 'adam'"),
        ("adam", {"beta1": 0.5}, "beta1=0.5 is no option of any row .*known: b1, b2"),
        (
            "sgd",
            {"b1": 0.5},
            "an option of name=adam, name=adamax, name=adamw, name=lion, name=soap only",
        ),
        ("adam", {"clip_norm": -1.0}, "got -1"),
        ("soap", {"update_every": 0}, "update_every must be >= 1, got 0"),
    ],
)
def test_bad_optimizers_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(name, make_schedule("constant", num_steps=5), **options)


@pytest.mark.parametrize("num_steps", ["100", 10.5, None])
def test_a_number_of_steps_is_whole(num_steps):
    """Past the tests' type checker, which no user has. Mutant: Python's own error on '<'."""
    with pytest.raises(ValueError, match=f"num_steps must be a whole number .* {num_steps!r}"):
        inspect.unwrap(make_schedule)("cosine", num_steps=num_steps)
