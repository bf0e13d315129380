# %%
# Installs vae_jax where it is missing, as in Colab.
REPOSITORY = ""  # the address of its repository: https://...

import importlib.util
import subprocess
import sys

if importlib.util.find_spec("vae_jax") is None:
    if not REPOSITORY:
        raise ImportError(
            "vae_jax is not installed: write the address of its repository into REPOSITORY above, "
            "or run `pip install -e .` in a clone of it"
        )
    subprocess.run([sys.executable, "-m", "pip", "install", f"git+{REPOSITORY}"], check=True)

import matplotlib.pyplot as plt

plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True})

# %% [markdown]
# # Reparameterization: gradients through a sample
#
# Training a variational autoencoder needs the gradient of an expectation in the parameters of the distribution that
# the expectation is over. This notebook shows why `z = mean + sigma * eps` gives that gradient: what the substitution
# does to the density, why the gradient of the expectation may move inside, and when it may not. Then it holds the
# pathwise gradient against the alternative, the score function: same mean, very different noise. Every claim is
# followed by its check.
#
# Sources: Kingma & Welling (2014), Rezende et al. (2014), Odaibo (2019), and those at the end.

# %%
import functools

import jax
import jax.numpy as jnp
from jax.test_util import check_grads
import numpy as np

from vae_jax import make_objective
from vae_jax.datasets import Examples
from vae_jax.distributions import (
    FullGaussian,
    Gamma,
    Gaussian,
    kl_divergence,
    reparameterize,
    standard_normal,
)
from vae_jax.evaluation import (
    compare_gradient_estimators,
    pathwise_gradient,
    score_function_gradient,
)
from vae_jax.models import VAE

# Compiled once for each function and number of samples.
compare = jax.jit(compare_gradient_estimators, static_argnames=("function", "num_samples"))
colors = {"pathwise": "C0", "score function": "C1"}

# %% [markdown]
# ## 1. The problem
#
# We want $\nabla_\phi\, \mathbb{E}_{q_\phi(z)}[f(z)]$, for the ELBO with $f(z) = \log p(x|z)$, and with
# $q_\phi = \mathcal N(\mu, \sigma^2)$, $\phi = (\mu, \log\sigma)$. A sample is a number, and a number no longer knows
# $\phi$: drawn by a program that the derivative does not see into, it has the gradient zero, whatever $f$ is.
#
# Take $f(z) = \log \mathcal N(x;\, z, 0.5^2)$: the log-likelihood, in nats, of a number $x = 2$ under a decoder that
# returns $z$ as the mean. Then $f(z) = -2(x - z)^2 + \text{const}$, and everything is known:
#
# $$\mathbb{E}_q[f] = -2\,[(x-\mu)^2 + \sigma^2] + \text{const},\qquad
# \frac{\partial}{\partial\mu}\mathbb{E}_q[f] = 4\,(x-\mu),\qquad
# \frac{\partial}{\partial\log\sigma}\mathbb{E}_q[f] = -4\,\sigma^2. \tag{1}$$
#
# With $\mu = 1$ and $\sigma = 0.5$ the derivatives are $4$ and $-1$.

# %%
x = jnp.array(2.0)
q = Gaussian(mean=jnp.array(1.0), log_scale=jnp.log(0.5))
exact = Gaussian(mean=4 * (x - q.mean), log_scale=-4 * q.variance)


def log_likelihood(z):
    return Gaussian(z, jnp.log(0.5)).log_prob(x)


@jax.grad
def through_a_constant(q):
    return log_likelihood(jax.lax.stop_gradient(reparameterize(jax.random.key(0), q)))


print(f"exact                    {exact.mean:7.3f} {exact.log_scale:7.3f}")
nothing = through_a_constant(q)
print(f"a sample held constant   {nothing.mean:7.3f} {nothing.log_scale:7.3f}")
assert nothing.mean == nothing.log_scale == 0

# %% [markdown]
# ## 2. The pushforward: noise first, parameters after
#
# Write the draw as a function of the parameters and of noise that does not depend on them, Eq. (10) of Kingma &
# Welling (2014) for one sample:
#
# $$z = g_\phi(\varepsilon) = \mu + \sigma\varepsilon, \qquad \varepsilon\sim\mathcal N(0, 1). \tag{2}$$
#
# The density of $z$ is the *pushforward* of that of $\varepsilon$: an interval $d\varepsilon$ is moved and stretched to
# $dz = |g_\phi'(\varepsilon)|\,d\varepsilon$, and keeps its probability,
#
# $$q_\phi(z)\,|dz| = p(\varepsilon)\,|d\varepsilon| \quad\Longleftrightarrow\quad
# \log q_\phi(g_\phi(\varepsilon)) = \log p(\varepsilon) - \log\big|g_\phi'(\varepsilon)\big|. \tag{3}$$
#
# The derivative $g'$ by `jax.grad`, so that the right side is computed from the map alone. In more dimensions it is the
# determinant of the Jacobian, here of $z = \mu + L\varepsilon$, whose covariance is $LL^\top$:

# %%
epsilon = jnp.array([-1.3, 0.0, 0.4, 2.1])


def push(epsilon):
    return q.mean + q.scale * epsilon


standard = Gaussian(jnp.array(0.0), jnp.array(0.0))
left_side = jax.vmap(lambda e: q.log_prob(push(e)))(epsilon)
right_side = jax.vmap(lambda e: standard.log_prob(e) - jnp.log(jnp.abs(jax.grad(push)(e))))(epsilon)
print("log q(g(eps))            ", np.round(left_side, 4))
print("log p(eps) - log|g'(eps)|", np.round(right_side, 4))
np.testing.assert_allclose(left_side, right_side, rtol=1e-5)

full = FullGaussian(jnp.array([1.0, -0.5]), jnp.array([[1.0, 0.0], [0.8, 0.4]]))
jacobian = jax.jacobian(lambda e: full.mean + full.scale_tril @ e)(jnp.ones(2))
at = full.mean + full.scale_tril @ jnp.ones(2)
by_map = standard_normal(2).log_prob(jnp.ones(2)) - jnp.linalg.slogdet(jacobian)[1]
np.testing.assert_allclose(full.log_prob(at), by_map, rtol=1e-5)
draws = jax.jit(jax.vmap(full.sample))(jax.random.split(jax.random.key(1), 20_000))
print("covariance of 20,000 draws", *np.round(np.cov(draws.T), 3), "  L L^T", *full.covariance)
np.testing.assert_allclose(np.cov(draws.T), full.covariance, atol=0.05)

# %%
noise = np.array([-1.6, -0.9, -0.3, 0.3, 0.9, 1.6])
lines = np.linspace(-3, 3.5, 400)
figure, axes = plt.subplots(figsize=(8, 3.6))
for base, (mean, scale, name) in enumerate(
    ((0.0, 1.0, "eps ~ N(0, 1)"), (1.0, 0.5, "z ~ N(1, 0.5²)"))
):
    heights = np.exp(-0.5 * ((lines - mean) / scale) ** 2) / scale / np.sqrt(2 * np.pi)
    axes.fill_between(
        lines, 1.6 * base, 1.6 * base + heights, color=f"C{7 * (1 - base)}", alpha=0.4, label=name
    )
for each in noise:
    axes.annotate(
        "", (1 + 0.5 * each, 1.6), (each, 0.0), arrowprops={"arrowstyle": "->", "color": "black"}
    )
axes.set(
    yticks=[],
    xlabel="eps, below; z, above",
    title="The map z = mean + sigma * eps carries the noise to its place",
    xlim=(-3, 3.5),
)
axes.legend(loc="upper left")
plt.show()

# %% [markdown]
# For a fixed $\varepsilon$ the arrow's end is an ordinary function of $\mu$ and $\sigma$: it moves by $1$ where $\mu$
# moves by $1$, and by $\varepsilon$ where $\sigma$ does. In $\log\sigma$, which the library carries, the derivative is
# $\sigma\varepsilon$.

# %%
key = jax.random.key(2)
dz = jax.grad(lambda q: reparameterize(key, q))(q)
eps = (reparameterize(key, q) - q.mean) / q.scale
print(
    f"dz/dmean = {dz.mean:.4f}   dz/dlog sigma = {dz.log_scale:.4f} = sigma * eps = {q.scale * eps:.4f}"
)
np.testing.assert_allclose([dz.mean, dz.log_scale], [1.0, q.scale * eps], rtol=1e-5)

# %% [markdown]
# ## 3. Why the gradient moves inside
#
# Substituting $z = g_\phi(\varepsilon)$ in the integral changes its value in nothing (Eq. 3), but moves $\phi$ out of
# the distribution:
#
# $$\mathbb E_{q_\phi(z)}[f(z)] = \int f(z)\,q_\phi(z)\,dz = \int f(g_\phi(\varepsilon))\,p(\varepsilon)\,d\varepsilon
# = \mathbb E_{p(\varepsilon)}[f(g_\phi(\varepsilon))]. \tag{4}$$
#
# The region and the weight of the integral no longer depend on $\phi$. The gradient of an integral is then the integral
# of the gradient, if $f(g_\phi(\varepsilon))$ is continuous, differentiable in $\phi$ almost everywhere, and its slope
# bounded by an integrable function near $\phi$ (dominated convergence):
#
# $$\nabla_\phi\,\mathbb{E}_{q_\phi(z)}[f(z)] = \mathbb{E}_{p(\varepsilon)}\big[\nabla_\phi f(g_\phi(\varepsilon))\big]
# = \mathbb{E}_{p(\varepsilon)}\big[f'(z)\,\nabla_\phi z\big]. \tag{5}$$
#
# As numbers: the derivative of the left integral by a finite difference of sums over a grid of $z$ (in float64), and
# the mean of `jax.grad` over a grid of $\varepsilon$. A kink in $f$ does no harm (its slope is missing in one point
# only); a *jump* does.

# %%
grid, step = np.linspace(-9, 9, 36_001, retstep=True)
normal = np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi)


def derivative_of_integral(f, mean=0.3, scale=0.5, h=1e-4):
    """d/dmean of the integral of f(z) N(z; mean, scale^2) dz, by a central difference."""

    def integral(mean):
        return (
            np.sum(f(grid) * np.exp(-0.5 * ((grid - mean) / scale) ** 2))
            / scale
            / np.sqrt(2 * np.pi)
            * step
        )

    return (integral(mean + h) - integral(mean - h)) / (2 * h)


def integral_of_derivative(f, mean=0.3, scale=0.5):
    """E over eps of d/dmean f(mean + scale * eps), by jax.grad."""
    slopes = jax.jit(jax.vmap(jax.grad(lambda mean, e: f(mean + scale * e)), (None, 0)))(mean, grid)
    return np.sum(np.asarray(slopes, np.float64) * normal) * step


functions = {
    "smooth: log N(2; z, .5^2)": (lambda z: -2 * (2 - z) ** 2, True),
    "kink: |z|": (abs, True),
    "jump: 1 if z > 0 else 0": (lambda z: 1.0 * (z > 0), False),
}
for name, (f, may_move) in functions.items():
    outside, inside = derivative_of_integral(f), integral_of_derivative(f)
    print(
        f"{name:26} gradient of the expectation {outside:7.4f}   expectation of the gradient {inside:7.4f}"
    )
    assert (abs(outside - inside) < 2e-3) == may_move

# %% [markdown]
# The step function has the slope zero wherever it has one, while its expectation, $P(z > 0)$, does change with
# $\mu$: by the density at the jump, $\mathcal N(0;\,0.3, 0.5^2) = 0.6664$. The same is true of discrete latents, which
# are nothing but jumps: they need a relaxation (Jang et al. 2017, Maddison et al. 2017; notebook 05) or the score
# function.
#
# ## 4. The other way: the score function
#
# Differentiate the density instead of the sample, with $\nabla q = q\,\nabla\log q$ (Williams 1992):
#
# $$\nabla_\phi \int q_\phi(z) f(z)\,dz = \int q_\phi(z)\, f(z)\,\nabla_\phi\log q_\phi(z)\,dz
# = \mathbb{E}_{q_\phi}\big[f(z)\,\nabla_\phi\log q_\phi(z)\big]. \tag{6}$$
#
# It asks nothing of $f$ but its value, and so learns only *how good* a sample was, not in which direction to move it.
# Both are unbiased. In $\mu$, one sample of Eq. (6) is $f(z)\,\varepsilon/\sigma$ and one of Eq. (5) is $f'(z)$: the
# first carries the level of $f$ and grows as $1/\sigma$ where $q$ is narrow; the second has no spread at all where $f$
# is linear. For the example of Eq. (1):

# %%
comparison = compare(jax.random.key(0), log_likelihood, q, num_samples=10_000)

print(f"{'':12}{'exact':>8}{'pathwise':>18}{'score function':>18}{'variance ratio':>18}")
for parameter in ("mean", "log_scale"):
    columns = [f"{getattr(exact, parameter):8.3f}"]
    for estimate in (comparison.pathwise, comparison.score_function):
        mean, error = getattr(estimate.mean, parameter), getattr(estimate.standard_error, parameter)
        columns.append(f"{mean:10.3f} ± {error:.3f}")
        assert abs(mean - getattr(exact, parameter)) < 4 * error  # no bias
    columns.append(f"{getattr(comparison.variance_ratio, parameter):18.1f}")
    print(f"{parameter:12}" + "".join(columns))

# %% [markdown]
# Both agree with the exact value within a few standard errors (over the 10,000 samples): neither has a bias. The last
# column is the variance of the score function's gradient over that of the pathwise one: so many times more samples buy
# the same error.
#
# The picture shows single-sample gradients in the mean on the left, and on the right what is left of their spread once
# many are averaged. The score function's long tail (it goes on beyond the frame) carries much of its mean: a few samples
# often miss it, and then both the estimate and its error bar are too small.

# %%
keys = jax.random.split(jax.random.key(1), 20_000)
single = {
    "score function": jax.jit(
        jax.vmap(lambda key: score_function_gradient(key, log_likelihood, q))
    )(keys),
    "pathwise": jax.jit(jax.vmap(lambda key: pathwise_gradient(key, log_likelihood, q)))(keys),
}
numbers_of_samples = np.array([10, 50, 300, 2_000, 10_000])
spreads = {"pathwise": [], "score function": []}
for name, gradients in single.items():  # the first so many of them, as an experiment would see them
    for number in numbers_of_samples:
        some = np.asarray(gradients.mean[:number])
        spreads[name].append((some.mean(), some.std(ddof=1) / np.sqrt(number)))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
bins = np.linspace(-10, 40, 101)
for name, gradients in single.items():
    left.hist(gradients.mean, bins, density=True, color=colors[name], alpha=0.6, label=name)
left.axvline(exact.mean, color="black", linestyle="--", linewidth=1, label="exact")
left.set(title="one sample", xlabel="gradient in the mean (nats per unit of z)", ylabel="density")
left.legend()
for shift, (name, points) in zip((1.06, 0.94), spreads.items(), strict=True):
    means, errors = zip(*points, strict=True)
    right.errorbar(
        numbers_of_samples * shift,
        means,
        errors,
        fmt="o",
        markersize=4,
        capsize=3,
        color=colors[name],
        label=name,
    )
right.axhline(exact.mean, color="black", linestyle="--", linewidth=1, label="exact")
right.set(
    title="mean of many samples, ± one standard error",
    xlabel="number of samples",
    ylabel="gradient in the mean",
    xscale="log",
)
right.legend()
plt.show()

# %% [markdown]
# ## 5. Both variances in closed form
#
# With $d = x - \mu$ and $f = a + 4d\sigma\varepsilon - 2\sigma^2\varepsilon^2$, where
# $a = -2d^2 + \log 2 - \tfrac12\log 2\pi$, the moments of $\varepsilon$ give the variance of one sample's gradient in
# the mean:
#
# $$\mathrm{Var}[f'(z)] = 16\,\sigma^2,\qquad
# \mathrm{Var}\Big[\frac{f(z)\,\varepsilon}{\sigma}\Big] = \frac{a^2 + 3\,(16\,d^2\sigma^2 - 4a\sigma^2) + 60\,\sigma^4}{\sigma^2} - 16\,d^2. \tag{7}$$
#
# As $q$ narrows, which is what training does to it, the pathwise noise vanishes and the score function's grows as
# $a^2/\sigma^2$. Subtracting a constant from $f$ (a *baseline*; here $\mathbb E_q[f]$) changes no mean, since
# $\mathbb E_q[\nabla\log q] = 0$, and takes the level $a$ away. It is the first remedy where only the score function
# will do, and the library's estimator `score_function` learns one.

# %%
d, a = float(x - q.mean), float(-2 * (x - q.mean) ** 2 + jnp.log(2) - 0.5 * jnp.log(2 * jnp.pi))


def variances(scale):
    """Eq. (7): pathwise, score function."""
    second = (a**2 + 3 * (16 * d**2 - 4 * a) * scale**2 + 60 * scale**4) / scale**2
    return 16 * scale**2, second - 16 * d**2


@jax.jit
def measured_variances(scale):
    own = Gaussian(q.mean, jnp.log(scale))
    level = a - 2 * scale**2  # E_q[f]

    def gradients(key):
        pathwise = pathwise_gradient(key, log_likelihood, own)
        score = score_function_gradient(key, log_likelihood, own)
        with_baseline = score_function_gradient(key, lambda z: log_likelihood(z) - level, own)
        return jnp.stack([pathwise.mean, score.mean, with_baseline.mean])

    return jnp.var(jax.vmap(gradients)(keys), axis=0)


scales = np.array([0.03, 0.1, 0.3, 1.0, 2.0])
measured = np.array([measured_variances(scale) for scale in scales])
fine = np.geomspace(0.03, 2, 100)
figure, axes = plt.subplots(figsize=(7, 3.6))
for column, (name, color) in enumerate((("pathwise", "C0"), ("score function", "C1"))):
    axes.loglog(fine, variances(fine)[column], color=color, label=f"{name}, Eq. (7)")
    axes.loglog(scales, measured[:, column], "o", color=color)
axes.loglog(
    scales, measured[:, 2], "s--", color="C2", label="score function with the baseline E[f]"
)
axes.set(
    xlabel="standard deviation of q",
    ylabel="variance of one gradient",
    title="Noise of the gradient in the mean as q narrows",
)
axes.legend()
plt.show()
np.testing.assert_allclose(measured[:, :2], np.stack(variances(scales), axis=1), rtol=0.25)

# %% [markdown]
# ## 6. More dimensions, and a case for the other side
#
# The score function weighs every component of $\nabla\log q$ with the same number $f(z)$, to which all dimensions add
# their level and their noise; the pathwise gradient of a sum over dimensions sees in each only its own term. The ratio
# therefore grows with the dimension, here about as its square.

# %%
dimensions = (1, 10, 100)
ratios = []
for num_dimensions in dimensions:
    ratio = compare(
        jax.random.key(10),
        lambda z: Gaussian(z, jnp.log(0.5)).log_prob(jnp.full_like(z, x)),
        Gaussian(jnp.full(num_dimensions, 1.0), jnp.full(num_dimensions, jnp.log(0.5))),
        num_samples=2_000,
    ).variance_ratio
    ratios.append(float(jnp.mean(ratio.mean)))
    print(f"{num_dimensions:4} dimensions: variance ratio in the mean {ratios[-1]:10.1f}")
assert 20 < ratios[1] / ratios[0] < 200 and 20 < ratios[2] / ratios[1] < 200

# %% [markdown]
# That the ratio exceeds one is no theorem. Where $f$ oscillates within the width of $q$, its slope is large and
# uninformative, its level small: for $f(z) = \cos(kz)$ with $k\sigma \gg 1$, the pathwise variance in $\mu$ is about
# $k^2/2$, the score function's about $1/(2\sigma^2)$, and the ratio $1/(k\sigma)^2$. With $k = 20$, $\sigma = 0.5$ that
# is 0.01.

# %%
oscillating = compare(jax.random.key(11), lambda z: jnp.cos(20 * z), q, num_samples=10_000)
print(f"cos(20 z): variance ratio in the mean {oscillating.variance_ratio.mean:.4f}")
np.testing.assert_allclose(oscillating.variance_ratio.mean, 0.01, rtol=0.1)

# %% [markdown]
# ## 7. Finite differences, and what they cannot see
#
# For a fixed key the sample is an ordinary function of the parameters, so its derivative can be checked as such.
# `check_grads` compares forward and reverse mode with finite differences and raises an error where they differ. (It
# hands over NumPy arrays; `jax.jit` turns them into JAX arrays first.)

# %%
value_at_fixed_noise = jax.jit(lambda q: log_likelihood(reparameterize(jax.random.key(0), q)))
check_grads(value_at_fixed_noise, (q,), order=1, modes=("fwd", "rev"))


def wrong(key, q):  # sigma^2 in the place of sigma
    return q.mean + q.variance * jax.random.normal(key)


wrong_value = jax.jit(jax.vmap(lambda q, key: log_likelihood(wrong(key, q)), (None, 0)))
of_wrong = jax.jit(jax.vmap(jax.grad(lambda q, key: log_likelihood(wrong(key, q))), (None, 0)))(
    q, keys
)
higher, lower = (wrong_value(Gaussian(q.mean, q.log_scale + h), keys) for h in (0.01, -0.01))
np.testing.assert_allclose((higher - lower) / 0.02, of_wrong.log_scale, atol=0.02)
print("derivatives through both samplers agree with finite differences")
print(
    f"wrong sampler: {jnp.mean(of_wrong.log_scale):.3f} in log sigma, exact {exact.log_scale:.3f}"
)
assert abs(jnp.mean(of_wrong.log_scale) - exact.log_scale) > 0.2

# %% [markdown]
# A wrong sampler, $z = \mu + \sigma^2\varepsilon$, agrees with its own finite differences just as well. That the right
# expectation is differentiated is what the comparison with the exact gradient and with the score function shows.
#
# ## 8. Other distributions
#
# Nothing in Eqs. (3) to (5) is Gaussian. A gamma variable has no such simple $g_\phi$, but its cumulative distribution
# function defines one implicitly (Figurnov et al. 2018), and `jax.random.gamma` differentiates through it. The mean of
# a gamma variable of concentration $a$ and rate $b$ is $a/b$, with the derivatives $1/b$ and $-a/b^2$:

# %%
gamma = Gamma(jnp.array(3.0), jnp.array(2.0))
gradients = jax.jit(jax.vmap(jax.grad(lambda gamma, key: gamma.sample(key)), (None, 0)))(
    gamma, keys[:10_000]
)
for name, expected in {"concentration": 1 / 2, "rate": -3 / 4}.items():
    each = getattr(gradients, name)
    print(
        f"d E[z] / d {name:14} {jnp.mean(each):7.4f} ± {jnp.std(each) / 100:.4f}   exact {expected:7.4f}"
    )
    assert abs(jnp.mean(each) - expected) < 4 * jnp.std(each) / 100

# %% [markdown]
# ## 9. The term that needs no sample
#
# The other half of the ELBO, $\mathrm{KL}(q\,\|\,p)$, is known in closed form for Gaussians. With
# $p = \mathcal N(0, 1)$ it is $(\mu^2 + \sigma^2 - \log\sigma^2 - 1)/2$ nats (Kingma & Welling 2014, Appendix B), with
# the derivatives $\mu$ and $\sigma^2 - 1$ in $\mu$ and $\log\sigma$. At $\mu = \sigma = 1$: 0.5 nats, and derivatives 1
# and 0.

# %%
prior = standard_normal(1)
unit = Gaussian(mean=jnp.ones(1), log_scale=jnp.zeros(1))
kl, gradient = jax.value_and_grad(kl_divergence)(unit, prior)
print(f"KL(N(1, 1) || N(0, 1)) = {kl:.4f} nats")
print(f"derivative in the mean {gradient.mean[0]:.4f}, in log sigma {gradient.log_scale[0]:.4f}")
np.testing.assert_allclose(kl, 0.5, rtol=1e-6)
np.testing.assert_allclose(gradient.mean, 1.0, rtol=1e-6)
np.testing.assert_allclose(gradient.log_scale, 0.0, atol=1e-6)
check_grads(jax.jit(lambda q: kl_divergence(q, prior)), (unit,), order=1, modes=("fwd", "rev"))

# %% [markdown]
# The KL is itself an expectation, $\mathbb{E}_q[\log q(z) - \log p(z)]$. Its integrand depends on $\phi$ twice, through
# $z$ and through $\log q$, but the second part has mean zero, $\mathbb{E}_q[\nabla_\phi\log q(z)] = 0$. With the
# parameters of $\log q$ held fixed, both estimators therefore estimate the gradient of the KL, and must agree with the
# closed form. (At $\mu = \sigma = 1$ the integrand is $z - 1/2$: linear, so that the pathwise derivative in the mean has
# no spread.)

# %%
comparison = compare(
    jax.random.key(12), lambda z: unit.log_prob(z) - prior.log_prob(z), unit, num_samples=10_000
)
for name, estimate in zip(("pathwise", "score function"), comparison[:2], strict=True):
    mean, error = estimate.mean, estimate.standard_error
    print(
        f"{name:15} mean {mean.mean[0]:7.4f} ± {error.mean[0]:.4f}"
        f"   log sigma {mean.log_scale[0]:7.4f} ± {error.log_scale[0]:.4f}"
    )
    assert abs(mean.mean[0] - 1) < 4 * error.mean[0] + 1e-5
    assert abs(mean.log_scale[0]) < 4 * error.log_scale[0]

# %% [markdown]
# ## 10. Sticking the landing
#
# That part of mean zero is noise for nothing. In a whole ELBO by samples, $\log p(x, z) - \log q_\phi(z)$, it is what
# keeps the gradient noisy even at the optimum: where $q$ *is* the posterior the two densities cancel in $z$, every
# sample gives the same value (notebook 01), and only $\nabla_\phi\log q_\phi(z)$ with $z$ fixed is left. Roeder et al.
# (2017) leave it out. The library's estimator `sticking_the_landing`, on the model
# $p(z) = \mathcal N(0, 1)$, $p(x|z) = \mathcal N(z, 0.5^2)$, whose posterior of $x = 2$ is
# $\mathcal N(1.6,\, 0.2)$:

# %%
posterior = Gaussian(jnp.array([1.6]), 0.5 * jnp.log(jnp.array([0.2])))
model = VAE(
    init=lambda key, examples: {},
    encode=lambda q, x, y=None: q,  # the parameters of q are all parameters of this model
    decode=lambda q, z, y=None: Gaussian(z, jnp.log(0.5)),
    prior=lambda q, y=None: prior,
)
batch = Examples(x=jnp.array([[2.0]]), y=None)


@functools.partial(jax.jit, static_argnames="estimator")
def gradients_by(estimator, q):
    """The gradients of minus the ELBO by 2,000 keys."""
    objective = make_objective("elbo", form="log_weights", estimator=estimator)

    def loss(q, key):
        return objective.loss(key, model, {"vae": q, "objective": {}}, objective.hparams, batch, 0)[
            0
        ]

    return jax.vmap(jax.grad(loss), (None, 0))(q, keys[:2_000])


shifts = np.array([0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
names = ("pathwise", "sticking_the_landing")
deviations = {name: [] for name in names}
for name in names:
    for shift in shifts:
        away = Gaussian(posterior.mean + shift, posterior.log_scale + shift)
        deviations[name].append(float(jnp.std(gradients_by(name, away).mean)))
print(
    "standard deviation at the posterior:",
    {name: round(each[0], 6) for name, each in deviations.items()},
)
assert deviations["sticking_the_landing"][0] < 1e-4 < 1 < deviations["pathwise"][0]

figure, axes = plt.subplots(figsize=(7, 3.2))
for name, color in zip(names, ("C0", "C4"), strict=True):
    axes.plot(shifts, deviations[name], "o-", color=color, label=name)
axes.set(
    xlabel="distance of q from the posterior (of its mean and of log sigma)",
    ylabel="standard deviation",
    title="Noise of one gradient in the mean, near the posterior",
)
axes.legend()
plt.show()

# %% [markdown]
# With several samples in one bound this trick is no longer free of bias; what replaces it, the doubly reparameterized
# estimator, is the subject of notebook 04.
#
# **Sources.**
# D. P. Kingma, M. Welling, *Auto-Encoding Variational Bayes*, 2014 (arXiv 1312.6114), Sections 2.2 to 2.4.
# D. J. Rezende, S. Mohamed, D. Wierstra, *Stochastic Backpropagation*, 2014 (arXiv 1401.4082).
# S. Odaibo, *Tutorial: Deriving the Standard Variational Autoencoder (VAE) Loss Function*, 2019 (arXiv 1907.08956).
# P. F. Roysdon, *Variational Autoencoder*, notes in "Math Derivations" (github.com/pfroysdon/publications).
# R. J. Williams, *Simple Statistical Gradient-Following Algorithms*, 1992.
# G. Roeder, Y. Wu, D. Duvenaud, *Sticking the Landing*, 2017 (arXiv 1703.09194).
# M. Figurnov, S. Mohamed, A. Mnih, *Implicit Reparameterization Gradients*, 2018 (arXiv 1805.08498).
# E. Jang, S. Gu, B. Poole, *Categorical Reparameterization with Gumbel-Softmax*, 2017 (arXiv 1611.01144).
# C. J. Maddison, A. Mnih, Y. W. Teh, *The Concrete Distribution*, 2017 (arXiv 1611.00712).
