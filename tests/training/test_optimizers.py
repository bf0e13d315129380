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
        ("sgd", {"b1": 0.5}, "an option of name=adam, name=adamax, name=adamw, name=lion only"),
        ("adam", {"clip_norm": -1.0}, "got -1"),
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
