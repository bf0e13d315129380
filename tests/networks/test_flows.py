"""Flow networks against automatic differentiation, their own inverses and quadrature."""

import functools

import jax
from jax import flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.quick import quick
from vae_jax.distributions import Flow, Gaussian, standard_normal
from vae_jax.networks.flows import AutoregressiveNetwork, make_coupling, make_inverse_autoregressive

KEY = jax.random.key(0)
CONTEXT = jnp.array([0.5, -1.0, 2.0])
# (make, num_dimensions, num_layers, context): even and odd numbers, the least dimensions of each.
CASES = {
    "coupling of 2": (make_coupling, 2, 2, None),
    "coupling of 5": (make_coupling, 5, 3, CONTEXT),
    "autoregressive of 1": (make_inverse_autoregressive, 1, 2, CONTEXT),
    "autoregressive of 4": (make_inverse_autoregressive, 4, 3, CONTEXT),
}
every_case = pytest.mark.parametrize("name", quick(CASES, "coupling of 5", "autoregressive of 4"))
every_maker = pytest.mark.parametrize("make", [make_coupling, make_inverse_autoregressive])


def random_params(network, scale=0.4):
    """Return parameters far from the identity."""

    @jax.jit
    def draw(key):
        flat, unflatten = flatten_util.ravel_pytree(network.init(key))
        return unflatten(flat + scale * jax.random.normal(jax.random.key(1), flat.shape))

    return draw(KEY)


@functools.cache
def make_case(name):
    """Return (network, random parameters, base, context)."""
    make, num_dimensions, num_layers, context = CASES[name]
    network = make(num_dimensions, (8,), num_layers, 0 if context is None else len(context))
    means = jnp.linspace(-0.5, 1.0, num_dimensions)
    return network, random_params(network), Gaussian(means, 0.3 * means), context


def make_flow(name):
    network, params, base, context = make_case(name)
    return network.apply(params, base, context)


def with_jacobian(function, z):
    """Return (value, log|det|, slogdet of jacfwd) of a Flow's function."""
    value, log_det = function(z)
    jacobian = jax.jacfwd(lambda z: function(z)[0])(z)
    return value, log_det, jnp.linalg.slogdet(jacobian)[1]


@functools.cache
def measure(name):
    """Return what the next three tests look at, of ten points and ten draws, compiled once."""
    flow = make_flow(name)

    @jax.jit
    @jax.vmap
    def everything(z, key):
        value, log_prob = flow.sample_and_log_prob(key)
        forth, back = with_jacobian(flow.forward, z), with_jacobian(flow.inverse, z)
        return {
            "jacobians": (forth, back),
            "cycles": (flow.inverse(forth[0]), flow.forward(back[0])),
            "densities": (log_prob, flow.log_prob(value)),
        }

    zs = jax.random.normal(KEY, (10, *flow.base.mean.shape))
    return zs, everything(zs, jax.random.split(KEY, 10))


@every_case
def test_log_determinants_are_those_of_the_jacobians(name):
    """Oracle: slogdet of jacfwd, of either direction.

    Mutants: a sign turned, a layer left out, log-scales other than those of the map.
    """
    zs, measured = measure(name)
    for value, log_det, expected in measured["jacobians"]:
        np.testing.assert_allclose(log_det, expected, 1e-4, atol=1e-5)
        assert np.abs(log_det).max() > 0.1 and np.abs(value - zs).max() > 0.1


@every_case
def test_inverse_undoes_forward_and_forward_the_inverse(name):
    """Mutants: layers inverted in the order of the forward map, a reordering missed."""
    zs, measured = measure(name)
    for (value, log_det), there in zip(measured["cycles"], measured["jacobians"], strict=True):
        np.testing.assert_allclose(value, zs, 1e-3, atol=1e-4)
        np.testing.assert_allclose(log_det, -there[1], 1e-3, atol=1e-4)


@every_case
def test_density_of_a_draw_is_that_by_the_inverse(name):
    """Mutant: the log-determinant's sign turned in one of the two."""
    by_forward, by_inverse = measure(name)[1]["densities"]
    np.testing.assert_allclose(by_forward, by_inverse, 1e-4, atol=1e-4)


@every_maker
@pytest.mark.parametrize("exchanged", [False, True])
def test_density_integrates_to_one(make, exchanged):
    """Quadrature: the midpoint rule on a square grid in two dimensions.

    Mutants: the log-determinant's sign turned in both directions, log-scales bounded in the map
    alone.
    """
    network = make(2, (8,), 3)
    flow = network.apply(random_params(network, 0.3), standard_normal(2))
    if exchanged:
        flow = Flow(flow.base, flow.inverse, flow.forward)
    points, step = np.linspace(-16, 16, 500, endpoint=False, retstep=True, dtype=np.float32)
    grid = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2)
    log_probs = np.asarray(jax.jit(jax.vmap(flow.log_prob))(grid), np.float64)
    np.testing.assert_allclose(np.exp(log_probs).sum() * step**2, 1, 2e-3)
    # Far from a Gaussian: the integral would be one of the base alone, too.
    assert np.ptp(log_probs - standard_log_prob(grid)) > 10


def standard_log_prob(z):
    return -0.5 * np.sum(z**2, axis=-1) - np.log(2 * np.pi)


@pytest.mark.parametrize(
    "hidden",
    [(), (16, 9), *(pytest.param(n, marks=pytest.mark.slow) for n in ((3,), (12,), (5, 40, 7)))],
)
def test_autoregressive_network_sees_earlier_dimensions_only(hidden):
    """Oracle: the Jacobians of t and s are strictly lower triangular, and full below where wide.

    Mutants: a mask with <= for < in its last layer or < in its first, no mask, context masked.
    """
    network = AutoregressiveNetwork(5, hidden, jnp.tanh)

    @jax.jit
    def jacobians(z, context):
        params = network.init(KEY, z, context)
        params = jax.tree.map(lambda leaf: leaf + jax.random.normal(KEY, leaf.shape), params)
        return jax.jacfwd(network.apply, argnums=(1, 2))(params, z, context)

    by_z, by_context = jacobians(np.linspace(-1, 1, 5, dtype=np.float32), CONTEXT)
    for part in np.split(by_z, 2):
        np.testing.assert_array_equal(part, np.tril(part, -1))
        assert np.count_nonzero(part) == 10 or min(hidden, default=5) < 5
        assert np.count_nonzero(part) > 0
    assert np.all(by_context != 0)


def forward_jacobian(make, num_layers):
    network = make(5, (9,), num_layers)
    flow = network.apply(random_params(network), standard_normal(5))
    return np.asarray(jax.jit(jax.jacfwd(lambda z: flow.forward(z)[0]))(jnp.ones(5)))


@pytest.mark.slow
def test_every_dimension_is_mapped_and_maps():
    """Oracles: one coupling keeps the first two of five dimensions, two keep none; one
    autoregressive layer is triangular. More layers make every dimension depend on every other.

    Mutants: the order left alone between layers; changed and not put back; merely reversed, which
    leaves the third of five dimensions without a say in any coupling.
    """
    one, two, five = (forward_jacobian(make_coupling, number) for number in (1, 2, 5))
    np.testing.assert_array_equal(one[:2], np.eye(5)[:2])
    assert np.all(np.diag(two) != 1) and np.all(five != 0)
    one, two = (forward_jacobian(make_inverse_autoregressive, number) for number in (1, 2))
    np.testing.assert_array_equal(one, np.tril(one))
    assert np.count_nonzero(one) == 15 and np.all(two != 0)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[3] is not None])
def test_context_moves_every_dimension(name):
    """Mutants: the context ignored, or unseen by the first autoregressive dimension."""
    network, params, base, context = make_case(name)

    def sample(context):
        return network.apply(params, base, context).sample(KEY)

    assert np.all(np.abs(jax.jit(jax.jacfwd(sample))(context)) > 1e-5)


@pytest.mark.slow
@every_maker
def test_new_flow_is_near_the_identity_and_trains_in_every_parameter(make):
    """Mutants: a last layer of zeros, behind which no gradient arrives; one of ordinary size."""
    network = make(4, (16, 16), 3, len(CONTEXT))
    params, zs = jax.jit(network.init)(KEY), jax.random.normal(KEY, (10, 4))

    def loss(params):
        flow = network.apply(params, standard_normal(4), CONTEXT)
        values, log_dets = jax.vmap(flow.forward)(zs)
        log_probs = jax.vmap(flow.log_prob)(zs)
        return jnp.sum((values - 1) ** 2) + jnp.mean(log_dets) + jnp.sum(log_probs), values

    gradients, values = jax.jit(jax.grad(loss, has_aux=True))(params)
    np.testing.assert_allclose(values, zs, atol=0.15)
    for leaf in jax.tree.leaves(gradients):
        for layer in leaf:
            assert np.all(np.isfinite(layer)) and np.any(np.abs(layer) > 1e-4)


@pytest.mark.slow
@every_case
def test_gradient_of_the_density_is_its_slope(name):
    """Oracle: a central difference, in a random direction. Mutant: a gradient stopped in a loop."""
    network, params, base, context = make_case(name)
    flat, unflatten = flatten_util.ravel_pytree(params)
    value = 0.3 * jnp.ones_like(base.mean)

    def log_prob(flat):
        return network.apply(unflatten(flat), base, context).log_prob(value)

    direction = jax.random.normal(KEY, flat.shape) / np.sqrt(flat.size)
    slope = jnp.vdot(jax.jit(jax.grad(log_prob))(flat), direction)
    step = 1e-2
    ends = jax.jit(jax.vmap(log_prob))(flat + np.outer([step, -step], direction))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), 1e-2, atol=1e-3)


@pytest.mark.slow
@every_maker
def test_scales_are_bounded(make):
    """Oracle: |s| < 3 in each of 3 layers and 4 dimensions. Mutant: exp of an unbounded output."""
    network = make(4, (8,), 3)
    flow = network.apply(random_params(network, 100.0), standard_normal(4))
    (value, log_prob), gradients = jax.jit(
        jax.value_and_grad(lambda flow: flow.sample_and_log_prob(KEY)[::-1], has_aux=True)
    )(flow)
    log_det = flow.base.log_prob(flow.base.sample(KEY)) - value
    assert abs(log_det) <= 3 * 4 * 3 + 1e-3 and np.all(np.isfinite(log_prob))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coupling of 5", "autoregressive of 4"])
def test_jit_changes_nothing_and_vmap_is_a_loop(name):
    """Mutants: a sum over the batch; reversal of the batch for that of the dimensions."""
    network, params, base, context = make_case(name)
    halved = jax.tree.map(lambda leaf: 0.5 * leaf, params)
    members = [(params, context, KEY), (halved, context + 1, jax.random.key(2))]

    def everything(params, context, key):
        flow = network.apply(params, base, context)
        value, log_prob = flow.sample_and_log_prob(key)
        return value, log_prob, flow.log_prob(value)

    def stack(*leaves):
        return jnp.stack(leaves)

    mapped = jax.jit(jax.vmap(everything))(*jax.tree.map(stack, *members))
    looped = jax.tree.map(stack, everything(*members[0]), jax.jit(everything)(*members[1]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, atol=1e-5), mapped, looped)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [pytest.param(make_coupling, marks=pytest.mark.slow), make_inverse_autoregressive]
)
def test_types_are_those_of_the_parameters_where_float64_is_enabled(make):
    """Oracle: the float32 flow itself. Mutant: zeros of jax's default type, a scan's TypeError."""
    network, base = make(4, (8,), 2), Gaussian(jnp.linspace(-1.0, 1, 4), jnp.zeros(4))
    params = random_params(network)
    expected = network.apply(params, base).sample_and_log_prob(KEY)
    with jax.enable_x64(True):
        flow = network.apply(params, base)
        actual = (*flow.sample_and_log_prob(KEY), flow.log_prob(flow.sample(KEY)))
    assert {leaf.dtype for leaf in actual} == {jnp.dtype(jnp.float32)}
    for ours, theirs in zip(actual, (*expected, expected[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-4, atol=1e-5)


@every_maker
@pytest.mark.parametrize(
    "changes",
    [{"num_dimensions": 0}, {"hidden": (8, 0)}, {"num_layers": 0}, {"context_dim": -1}],
    ids=lambda changes: next(iter(changes)),
)
def test_sizes_below_the_least_are_refused(make, changes):
    with pytest.raises(
        ValueError, match=f"{next(iter(changes))} of a flow must be >= .* got"
    ) as error:
        make(**{"num_dimensions": 3, "hidden": (8,), "num_layers": 2, **changes})
    assert "\n" not in str(error.value)


def test_one_dimension_cannot_be_coupled():
    with pytest.raises(ValueError, match="num_dimensions of a flow must be >= 2, got 1"):
        make_coupling(1, (8,), 2)


@every_maker
def test_unknown_activation_and_other_contexts_are_refused(make):
    with pytest.raises(ValueError, match=r"^activation='than' is unknown .*tanh"):
        make(3, (8,), 2, activation="than")
    network = make(3, (8,), 2, context_dim=2)
    for context in (None, CONTEXT, CONTEXT[None, :2]):
        with pytest.raises(ValueError, match=r"shape is .* expected \(2,\)"):
            network.apply({}, standard_normal(3), context)
