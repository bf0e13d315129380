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
# Training a variational autoencoder needs the gradient of an expectation in the parameters of the distribution
# that the expectation is over. This notebook shows why `z = mean + sigma * eps` gives that gradient, measures how
# much less it spreads than the alternative, and checks the package's formulas on the way.
#
# It opens in Colab as it is (*File > Upload notebook*, or *File > Open notebook > GitHub*) and runs on a CPU in
# seconds; the first cell installs `vae_jax` where it is missing.

# %%
import jax
import jax.numpy as jnp
from jax.test_util import check_grads
import numpy as np

from vae_jax.distributions import Gaussian, kl_divergence, reparameterize, standard_normal
from vae_jax.evaluation.gradient_checks import (
    compare_gradient_estimators,
    pathwise_gradient,
    score_function_gradient,
)

# Compiled once for each function and number of samples.
compare = jax.jit(compare_gradient_estimators, static_argnames=("function", "num_samples"))

# %% [markdown]
# ## Two ways to differentiate an expectation
#
# We want $\nabla_\phi\, \mathbb{E}_{q_\phi(z)}[f(z)]$ for $q_\phi = \mathcal N(\mu, \sigma^2)$ with
# $\phi = (\mu, \log\sigma)$. Drawing $z$ and differentiating $f(z)$ does not do: a drawn number no longer knows $\phi$.
#
# **Score function (REINFORCE).** Differentiate the density, and use $\nabla q = q\,\nabla\log q$:
#
# $$\nabla_\phi \int q_\phi(z) f(z)\,dz = \int q_\phi(z)\, f(z)\,\nabla_\phi\log q_\phi(z)\,dz
# = \mathbb{E}_{q_\phi}\big[f(z)\,\nabla_\phi\log q_\phi(z)\big].$$
#
# It asks nothing of $f$ but its value, and so learns only *how good* a sample was, not in which direction to move it.
#
# **Pathwise (reparameterization).** Write the draw as a function of the parameters and of noise that does not depend on them,
# $z = \mu + \sigma\varepsilon$ with $\varepsilon\sim\mathcal N(0, 1)$ (Kingma & Welling 2014, Section 2.3). The distribution under the
# expectation is then fixed, and for a differentiable $f$ that does not grow too fast the gradient moves inside:
#
# $$\nabla_\phi\,\mathbb{E}_{q_\phi(z)}[f(z)] = \nabla_\phi\,\mathbb{E}_{\varepsilon}\big[f(\mu+\sigma\varepsilon)\big]
# = \mathbb{E}_{\varepsilon}\big[f'(z)\,\nabla_\phi z\big],\qquad
# \frac{\partial z}{\partial\mu} = 1,\quad \frac{\partial z}{\partial\log\sigma} = \sigma\varepsilon.$$
#
# Both are unbiased. They differ in spread: in $\mu$, one sample of the first is $f(z)\,\varepsilon/\sigma$ and one of the second is $f'(z)$.
# The first carries the level of $f$ and grows as $1/\sigma$ where $q$ is narrow; the second has no spread at all where $f$ is linear.
#
# ## An example with a known gradient
#
# Let $f(z) = \log \mathcal N(x;\, z, 0.5^2)$: the log-likelihood, in nats, of a number $x = 2$ under a decoder that returns $z$ as the mean.
# Then $f(z) = -2(x - z)^2 + \text{const}$ and $\mathbb{E}_q[f] = -2\,[(x-\mu)^2 + \sigma^2] + \text{const}$, so that
#
# $$\frac{\partial}{\partial\mu}\mathbb{E}_q[f] = 4\,(x-\mu),\qquad \frac{\partial}{\partial\log\sigma}\mathbb{E}_q[f] = -4\,\sigma^2.$$
#
# With $\mu = 1$ and $\sigma = 0.5$ these are $4$ and $-1$.

# %%
x = jnp.array(2.0)
q = Gaussian(mean=jnp.array(1.0), log_scale=jnp.log(0.5))
exact = Gaussian(mean=4 * (x - q.mean), log_scale=-4 * q.variance)


def log_likelihood(z):
    return Gaussian(z, jnp.log(0.5)).log_prob(x)


comparison = compare(jax.random.key(0), log_likelihood, q, num_samples=10_000)

print(f"{'':12}{'exact':>8}{'pathwise':>18}{'score function':>18}{'variance ratio':>18}")
for parameter in ("mean", "log_scale"):
    columns = [f"{getattr(exact, parameter):8.3f}"]
    for estimate in (comparison.pathwise, comparison.score_function):
        mean, error = getattr(estimate.mean, parameter), getattr(estimate.standard_error, parameter)
        columns.append(f"{mean:10.3f} ± {error:.3f}")
    columns.append(f"{getattr(comparison.variance_ratio, parameter):18.1f}")
    print(f"{parameter:12}" + "".join(columns))

# %% [markdown]
# Both agree with the exact value within a few standard errors (over the 10,000 samples). The last column is the variance of the score
# function's gradient over that of the pathwise one: so many times more samples buy the same error.
#
# The picture shows single-sample gradients in the mean on the left, and on the right what is left of their spread once many are averaged.
# The score function's long tail (it goes on beyond the frame) carries much of its mean: a few samples often miss it, and then both the estimate
# and its error bar are too small.

# %%
keys = jax.random.split(jax.random.key(1), 20_000)
single = {
    "score function": jax.vmap(lambda key: score_function_gradient(key, log_likelihood, q))(keys),
    "pathwise": jax.vmap(lambda key: pathwise_gradient(key, log_likelihood, q))(keys),
}
numbers_of_samples = np.array([10, 50, 300, 2_000, 10_000])
comparisons = [
    compare(jax.random.fold_in(jax.random.key(2), i), log_likelihood, q, int(number))
    for i, number in enumerate(numbers_of_samples)
]
averaged = {
    "score function": [comparison.score_function for comparison in comparisons],
    "pathwise": [comparison.pathwise for comparison in comparisons],
}
colors = {"pathwise": "C0", "score function": "C1"}

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
bins = np.linspace(-10, 40, 101)
for name, gradients in single.items():
    left.hist(gradients.mean, bins, density=True, color=colors[name], alpha=0.6, label=name)
left.axvline(exact.mean, color="black", linestyle="--", linewidth=1, label="exact")
left.set(title="one sample", xlabel="gradient in the mean (nats per unit of z)", ylabel="density")
left.legend()

for shift, (name, estimates) in zip((1.06, 0.94), averaged.items(), strict=True):
    right.errorbar(
        numbers_of_samples * shift,
        [estimate.mean.mean for estimate in estimates],
        [estimate.standard_error.mean for estimate in estimates],
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
# ## More dimensions, and a case for the other side
#
# The score function weighs every component of $\nabla\log q$ with the same number $f(z)$, to which all dimensions add their level and their noise;
# the pathwise gradient of a sum over dimensions sees in each only its own term. The ratio therefore grows with the dimension, here about as its square.

# %%
for num_dimensions in (1, 10, 100):
    ratio = compare(
        jax.random.key(10),
        lambda z: Gaussian(z, jnp.log(0.5)).log_prob(jnp.full_like(z, x)),
        Gaussian(jnp.full(num_dimensions, 1.0), jnp.full(num_dimensions, jnp.log(0.5))),
        num_samples=2_000,
    ).variance_ratio
    print(f"{num_dimensions:4} dimensions: variance ratio in the mean {jnp.mean(ratio.mean):10.1f}")

# %% [markdown]
# That the ratio exceeds one is no theorem. Where $f$ oscillates within the width of $q$, its slope is large and uninformative, its level small:
# for $f(z) = \cos(kz)$ with $k\sigma \gg 1$, the pathwise variance in $\mu$ is about $k^2/2$, the score function's about $1/(2\sigma^2)$, and the ratio
# $1/(k\sigma)^2$. With $k = 20$, $\sigma = 0.5$ that is 0.01.

# %%
oscillating = compare(jax.random.key(11), lambda z: jnp.cos(20 * z), q, num_samples=10_000)
print(f"cos(20 z): variance ratio in the mean {oscillating.variance_ratio.mean:.4f}")

# %% [markdown]
# ## Finite differences
#
# For a fixed key the sample is an ordinary function of the parameters, so its derivative can be checked as such. `check_grads` compares forward
# and reverse mode with finite differences and raises an error where they differ. (It hands over NumPy arrays; `jax.jit` turns them into JAX
# arrays first.)

# %%
value_at_fixed_noise = jax.jit(lambda q: log_likelihood(reparameterize(jax.random.key(0), q)))
check_grads(value_at_fixed_noise, (q,), order=1, modes=("fwd", "rev"))
print("derivatives through the sample agree with finite differences")

# %% [markdown]
# Note what this does *not* show: a wrong sampler, say $z = \mu + \sigma^2\varepsilon$, agrees with its own finite differences just as well. That
# the right expectation is differentiated is what the comparison with the exact gradient and with the score function shows.
#
# ## The term that needs no sample
#
# The other half of the ELBO, $\mathrm{KL}(q\,\|\,p)$, is known in closed form for Gaussians. With $p = \mathcal N(0, 1)$ it is
# $(\mu^2 + \sigma^2 - \log\sigma^2 - 1)/2$ nats (Kingma & Welling 2014, Appendix B), with the derivatives $\mu$ and $\sigma^2 - 1$ in $\mu$ and
# $\log\sigma$. At $\mu = \sigma = 1$: 0.5 nats, and derivatives 1 and 0.

# %%
prior = standard_normal(1)
unit = Gaussian(mean=jnp.ones(1), log_scale=jnp.zeros(1))
kl, gradient = jax.value_and_grad(kl_divergence)(unit, prior)
print(f"KL(N(1, 1) || N(0, 1)) = {kl:.4f} nats")
print(f"derivative in the mean {gradient.mean[0]:.4f}, in log sigma {gradient.log_scale[0]:.4f}")

np.testing.assert_allclose(kl, 0.5, rtol=1e-6)
np.testing.assert_allclose(gradient.mean, 1.0, rtol=1e-6)
np.testing.assert_allclose(gradient.log_scale, 0.0, atol=1e-6)
check_grads(jax.jit(lambda q: kl_divergence(q, prior)), (unit,), order=2, modes=("fwd", "rev"))

# %% [markdown]
# The KL is itself an expectation, $\mathbb{E}_q[\log q(z) - \log p(z)]$. Its integrand depends on $\phi$ twice, through $z$ and through $\log q$, but
# the second part has mean zero, $\mathbb{E}_q[\nabla_\phi\log q(z)] = 0$. With the parameters of $\log q$ held fixed, both estimators
# therefore estimate the gradient of the KL, and must agree with the closed form. (At $\mu = \sigma = 1$ the integrand is $z - 1/2$: linear, so that the
# pathwise derivative in the mean has no spread.)

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
