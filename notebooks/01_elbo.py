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
# # The ELBO: from Bayes' theorem to the loss
#
# A variational autoencoder is trained by maximising the *evidence lower bound* (ELBO). This notebook derives it in
# two ways, line by line, and checks every line by a number, in models in which all of it is known: $\log p(x)$, the
# posterior, the ELBO, and what lies between them. Then come the KL divergence in closed form, the loss that a
# program computes, and what is lost where the posterior is not Gaussian.
#
# Notation, as in the library: $x$ is one example, $z$ its latent code, $p(z)$ the prior, $p(x|z)$ the likelihood
# (the decoder), $q(z|x)$ the approximate posterior (the encoder). Logarithms are natural, so that every number is in
# *nats*, and bounds are "larger is better".
#
# The derivation follows Kingma & Welling (2014), and the tutorials of Odaibo (2019) and Roysdon; see the end for
# sources.

# %%
import jax
import jax.numpy as jnp
import numpy as np

import vae_jax
from vae_jax.datasets.ppca import LinearGaussian, log_likelihood
from vae_jax.distributions import (
    EXPONENTIAL_FAMILIES,
    Bernoulli,
    FullGaussian,
    Gamma,
    Gaussian,
    Mixture,
    bregman_kl,
    kl_divergence,
    kl_per_dimension,
    standard_normal,
)
from vae_jax.evaluation.tightness import Search, best_posterior
from vae_jax.models import VAE
from vae_jax.objectives import elbo, importance_weighted_bound, kl, reconstruction, sample_terms


def densities(distribution, values):
    """log p of each of many values of one number, in float64."""
    return np.asarray(jax.jit(jax.vmap(distribution.log_prob))(jnp.asarray(values)), np.float64)


# %% [markdown]
# ## 1. A model in which everything is known
#
# Take one latent number and one observed number,
#
# $$p(z) = \mathcal N(z;\,0, 1), \qquad p(x|z) = \mathcal N(x;\; w z + b,\; s^2).$$
#
# *Bayes' theorem* turns the decoder around:
#
# $$p(z|x) = \frac{p(x|z)\,p(z)}{p(x)}, \qquad p(x) = \int p(x|z)\,p(z)\,dz. \tag{1}$$
#
# The integral $p(x)$, the *evidence*, is what makes this hard: for a neural decoder nobody can compute it. Here
# everything is Gaussian and both sides are known: $p(x) = \mathcal N(b,\, w^2 + s^2)$, and $p(z|x)$ has the variance
# $v = 1/(1 + w^2/s^2)$ and the mean $v\,w\,(x - b)/s^2$. We compare with sums over a fine grid of $z$.

# %%
w, b, s = 1.5, 0.5, 0.8
x = jnp.array(2.0)

prior = Gaussian(jnp.array(0.0), jnp.array(0.0))
marginal = Gaussian(jnp.array(b), 0.5 * jnp.log(w**2 + s**2))
v = 1 / (1 + w**2 / s**2)
posterior = Gaussian(v * w * (x - b) / s**2, 0.5 * jnp.log(v))

z, dz = np.linspace(-8, 8, 16_001, retstep=True)
log_prior = densities(prior, z)
log_px_z = np.asarray(
    jax.vmap(lambda z: Gaussian(w * z + b, jnp.log(s)).log_prob(x))(z), np.float64
)
log_joint = log_px_z + log_prior  # log p(x, z)

log_px = float(marginal.log_prob(x))
log_px_by_integral = np.log(np.sum(np.exp(log_joint)) * dz)
print(
    f"log p(x)   in closed form {log_px:.5f}   by the integral of Eq. (1) {log_px_by_integral:.5f} nats"
)
np.testing.assert_allclose(log_px_by_integral, log_px, atol=1e-5)

log_posterior = log_joint - log_px  # Bayes' theorem
np.testing.assert_allclose(log_posterior, densities(posterior, z), atol=1e-3, rtol=1e-5)
print(
    f"posterior  mean {np.sum(z * np.exp(log_posterior)) * dz:.5f}   in closed form {posterior.mean:.5f}"
)

# %%
figure, axes = plt.subplots(figsize=(7, 3))
axes.plot(z, np.exp(log_prior), label="prior p(z)", color="C7")
axes.plot(z, np.exp(log_px_z), label="likelihood p(x|z) of x = 2", color="C2")
axes.plot(z, np.exp(log_posterior), label="posterior p(z|x)", color="black")
axes.set(
    xlim=(-3, 3),
    xlabel="z",
    ylabel="density",
    title="Bayes' theorem: prior times likelihood, normalized",
)
axes.legend()
plt.show()

# %% [markdown]
# ## 2. First derivation: the KL identity
#
# Where $p(z|x)$ is out of reach, choose a density $q(z)$ that one can sample and evaluate. The *Kullback-Leibler
# divergence* $\mathrm{KL}(q\,\|\,p) = \mathbb E_q[\log q(z) - \log p(z)] \ge 0$ says how far it is from another, and
# is zero only where both agree. Now, for any $q$:
#
# $$\begin{aligned}
# \log p(x) &= \mathbb E_{q}[\log p(x)] && \text{a constant is its own mean} &(2)\\
# &= \mathbb E_{q}\!\left[\log \frac{p(x, z)}{p(z|x)}\right] && \text{Bayes' theorem, for every } z &(3)\\
# &= \mathbb E_{q}\!\left[\log \frac{p(x, z)}{q(z)}\right] + \mathbb E_{q}\!\left[\log \frac{q(z)}{p(z|x)}\right]
# && \text{times and divided by } q(z) &(4)\\
# &= \mathrm{ELBO}(q) + \mathrm{KL}(q(z)\,\|\,p(z|x)). && &(5)
# \end{aligned}$$
#
# The left side does not depend on $q$ and the KL is never negative. So **the ELBO is a lower bound of $\log p(x)$,
# the gap is exactly $\mathrm{KL}(q\,\|\,p(z|x))$, and raising the ELBO in $q$ is the same as pulling $q$ to the
# posterior.** Each line as a number, for a $q$ that is not quite right:

# %%
q = Gaussian(jnp.array(0.3), jnp.log(0.7))
log_q = densities(q, z)


def expectation(values):
    """E_q[values] by a sum over the grid."""
    return np.sum(np.exp(log_q) * values) * dz


line_2 = expectation(np.full_like(z, log_px))
line_3 = expectation(log_joint - log_posterior)
elbo_of_q = expectation(log_joint - log_q)
gap_of_q = expectation(log_q - log_posterior)

print(f"(2) E_q[log p(x)]                {line_2:9.5f}")
print(f"(3) E_q[log p(x,z) / p(z|x)]     {line_3:9.5f}")
print(f"(4) {elbo_of_q:.5f} + {gap_of_q:.5f}           {elbo_of_q + gap_of_q:9.5f}")
print(f"    KL(q || p(z|x)), closed form {kl_divergence(q, posterior):9.5f}")
np.testing.assert_allclose([line_2, line_3, elbo_of_q + gap_of_q], log_px, atol=1e-4)
np.testing.assert_allclose(gap_of_q, kl_divergence(q, posterior), atol=1e-4)

# %% [markdown]
# ## 3. Second derivation: Jensen's inequality
#
# The other road starts at the integral and brings $q$ in by multiplying and dividing:
#
# $$\begin{aligned}
# \log p(x) &= \log \int p(x, z)\,dz = \log\, \mathbb E_{q}\!\left[w(z)\right], \qquad w(z) = \frac{p(x, z)}{q(z)} &(6)\\
# &\ge \mathbb E_{q}\left[\log w(z)\right] = \mathrm{ELBO}(q). &(7)
# \end{aligned}$$
#
# The logarithm is concave: the logarithm of a mean is at least the mean of the logarithms (*Jensen's inequality*).
# It holds with equality only where $w$ is constant, that is where $q(z) \propto p(x, z)$: $q$ is the posterior. This
# road needs no posterior, and shows what to do for a tighter bound: average several $w$ before taking the logarithm
# (Burda et al. 2016; notebook 04).

# %%
log_w = log_joint - log_q
mean_w = expectation(np.exp(log_w))
print(f"(6) log E_q[w] = {np.log(mean_w):.5f}   log p(x) = {log_px:.5f}")
print(f"(7) E_q[log w] = {expectation(log_w):.5f}   ELBO     = {elbo_of_q:.5f}")
np.testing.assert_allclose(np.log(mean_w), log_px, atol=1e-4)
assert expectation(log_w) < log_px

draws = np.asarray(jax.vmap(q.sample)(jax.random.split(jax.random.key(0), 40)))
weights = np.exp(np.interp(draws, z, log_w))
figure, axes = plt.subplots(figsize=(7, 3.4))
grid = np.linspace(0.002, 0.4, 400)
axes.plot(grid, np.log(grid), color="C7", label="logarithm")
axes.plot(weights, np.log(weights), "o", color="C0", alpha=0.5, label="log w of 40 draws z ~ q")
axes.axhline(log_px, color="black", linestyle="--", label="log E[w] = log p(x)")
axes.axhline(elbo_of_q, color="C3", linestyle="--", label="E[log w] = ELBO")
axes.set(
    xlabel="w = p(x, z) / q(z)",
    ylabel="nats",
    ylim=(-5, -0.8),
    title="Jensen: the mean of the logarithms is lower",
)
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## 4. The two terms of the loss
#
# With $p(x, z) = p(x|z)\,p(z)$, the ELBO falls into what a program computes, Eq. (7) of Kingma & Welling (2014):
#
# $$\mathrm{ELBO} = \underbrace{\mathbb E_{q(z|x)}[\log p(x|z)]}_{\text{reconstruction}}
# - \underbrace{\mathrm{KL}(q(z|x)\,\|\,p(z))}_{\text{KL}}. \tag{8}$$
#
# Note the two different divergences: the *term* is the KL to the **prior**, which is known in closed form; the *gap*
# is the KL to the **posterior**, which is not, and which no program needs.
#
# In the library a VAE is nothing but functions that return distributions. Ours takes a line each. `sample_terms`
# draws $z_k \sim q$ and returns $\log p(x|z_k)$, $\log p(z_k)$ and $\log q(z_k|x)$, of which every bound is made.

# %%
lesson = VAE(
    init=lambda key, examples: {},
    encode=lambda q, x, y=None: q,  # the parameters of q are all parameters of this model
    decode=lambda q, z, y=None: Gaussian(w * z + b, jnp.log(s)),
    prior=lambda q, y=None: prior,
)
terms_of = jax.jit(lambda keys, q: sample_terms(keys, lesson, q, x, None))
keys = jax.random.split(jax.random.key(1), 10_000)
terms = terms_of(keys, q)

exact = {
    "reconstruction": expectation(log_px_z),
    "kl": float(kl_divergence(q, prior)),
    "elbo": elbo_of_q,
}
by_samples = {"reconstruction": reconstruction(terms), "kl": kl(terms), "elbo": elbo(terms)}
error = jnp.std(terms.log_likelihood) / 100  # standard error of a mean of 10,000
for name, value in exact.items():
    print(f"{name:15} exact {value:8.4f}   vae_jax.objectives {by_samples[name]:8.4f}")
print(f"standard error of the reconstruction over samples: {error:.4f}")
assert abs(by_samples["elbo"] - exact["elbo"]) < 4 * error
np.testing.assert_allclose(exact["reconstruction"] - exact["kl"], exact["elbo"], atol=1e-4)

# %% [markdown]
# ## 5. Tight where q is the posterior
#
# Move $q$ through the posterior, first by its mean and then by its standard deviation: the ELBO touches $\log p(x)$
# in one point of each curve, and the distance elsewhere is $\mathrm{KL}(q\,\|\,p(z|x))$.


# %%
def elbo_exact(q):
    """Eq. (8) for the linear decoder: E_q[(x - wz - b)^2] = (x - w mean - b)^2 + w^2 sigma^2."""
    spread = (x - w * q.mean - b) ** 2 + w**2 * q.variance
    return -0.5 * spread / s**2 - jnp.log(s) - 0.5 * jnp.log(2 * jnp.pi) - kl_divergence(q, prior)


np.testing.assert_allclose(elbo_exact(q), elbo_of_q, atol=1e-4)
np.testing.assert_allclose(elbo_exact(posterior), log_px, atol=1e-5)

means = jnp.linspace(-0.6, 1.9, 101)
scales = jnp.exp(jnp.linspace(-2.5, 0.7, 101))
by_mean = jax.vmap(lambda mean: elbo_exact(Gaussian(mean, posterior.log_scale)))(means)
by_scale = jax.vmap(lambda scale: elbo_exact(Gaussian(posterior.mean, jnp.log(scale))))(scales)
gap_by_scale = jax.vmap(
    lambda scale: kl_divergence(Gaussian(posterior.mean, jnp.log(scale)), posterior)
)(scales)
np.testing.assert_allclose(log_px - by_scale, gap_by_scale, atol=1e-4)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
for axes, values, bounds, best, label in (
    (left, means, by_mean, posterior.mean, "mean of q"),
    (right, scales, by_scale, posterior.scale, "standard deviation of q"),
):
    axes.plot(values, bounds, color="C3", label="ELBO")
    axes.fill_between(values, bounds, log_px, color="C3", alpha=0.15, label="gap = KL(q || p(z|x))")
    axes.axhline(log_px, color="black", linestyle="--", label="log p(x)")
    axes.plot(best, log_px, "ko", label="q = posterior")
    axes.set(xlabel=label, ylim=(-4.5, -1.4))
left.set(ylabel="nats", title="as its mean moves")
right.set(title="as its standard deviation moves")
left.legend(loc="lower center")
figure.suptitle("The ELBO touches log p(x) where q is the posterior")
plt.show()

# %% [markdown]
# At $q = p(z|x)$ even a *single* sample gives $\log p(x)$: $w(z) = p(x, z)/p(z|x) = p(x)$ for every $z$, so that the
# bound has no noise left.

# %%
at_posterior = terms_of(keys, posterior).log_weights
at_q = terms.log_weights
print(f"log w of 10,000 samples   at q: {jnp.mean(at_q):.4f} ± {jnp.std(at_q):.4f}", end="")
print(f"   at the posterior: {jnp.mean(at_posterior):.5f} ± {jnp.std(at_posterior):.5f}")
np.testing.assert_allclose(at_posterior, log_px, atol=1e-4)

# %% [markdown]
# ## 6. Several dimensions: what a diagonal q leaves out
#
# The same model with two latents and five observed numbers is probabilistic PCA (Tipping & Bishop 1999):
# $p(x|z) = \mathcal N(Wz + b, s^2 I)$, so that $p(x) = \mathcal N(b,\, WW^\top + s^2 I)$ and the posterior is Gaussian
# with the precision $\Lambda = I + W^\top W / s^2$. Unless the columns of $W$ are orthogonal, the two latents are
# *correlated* in the posterior, and the diagonal $q$ of an ordinary VAE cannot be equal to it. Its best choice has the
# posterior's mean and the variances $1/\Lambda_{jj}$; the gap is then known too,
# $\tfrac12\big(\sum_j \log \Lambda_{jj} - \log\det\Lambda\big)$.

# %%
W = np.array([[1.0, 0.8], [0.9, 0.9], [0.2, 0.7], [1.1, 0.4], [0.5, 0.5]])
model = LinearGaussian(W, np.zeros(5), 0.8)
xs = np.array([[1.5, 0.6, -0.4, 2.0, 0.1]])
log_px_5 = log_likelihood(model, xs)[0]

precision = np.eye(2) + W.T @ W / model.noise**2
covariance = np.linalg.inv(precision)
mean = covariance @ W.T @ xs[0] / model.noise**2
exact_q = FullGaussian(jnp.array(mean), jnp.array(np.linalg.cholesky(covariance)))
diagonal_q = Gaussian(jnp.array(mean), jnp.array(-0.5 * np.log(np.diag(precision))))
expected_gap = 0.5 * (np.sum(np.log(np.diag(precision))) - np.linalg.slogdet(precision)[1])

plane = VAE(
    init=lambda key, examples: {},
    encode=lambda q, x, y=None: q,
    decode=lambda q, z, y=None: Gaussian(jnp.array(W) @ z, jnp.full(5, jnp.log(model.noise))),
    prior=lambda q, y=None: standard_normal(2),
)
log_weights_of = jax.jit(
    lambda keys, q: sample_terms(keys, plane, q, jnp.array(xs[0]), None).log_weights
)

print(f"log p(x) = {log_px_5:.4f} nats")
for name, each in {"full": exact_q, "diagonal": diagonal_q}.items():
    log_weights = log_weights_of(keys, each)
    gap = float(kl_divergence(each, exact_q))
    print(
        f"{name:9} ELBO {jnp.mean(log_weights):.4f} ± {jnp.std(log_weights) / 100:.4f}   gap {gap:.4f}"
    )
    np.testing.assert_allclose(
        jnp.mean(log_weights), log_px_5 - gap, atol=1e-4 + 4 * float(jnp.std(log_weights)) / 100
    )
np.testing.assert_allclose(kl_divergence(diagonal_q, exact_q), expected_gap, rtol=1e-4)

# %%
corners = np.stack(np.meshgrid(np.linspace(-1, 3.5, 161), np.linspace(-2.5, 2, 161)), axis=-1)
figure, axes = plt.subplots(figsize=(5, 4))
for each, color, name in (
    (exact_q, "black", "posterior p(z|x)"),
    (diagonal_q, "C3", "best diagonal q"),
):
    log_density = jax.jit(jax.vmap(jax.vmap(each.log_prob)))(jnp.array(corners, jnp.float32))
    levels = float(jnp.max(log_density)) - np.array([4.5, 2.0, 0.5])
    axes.contour(
        corners[..., 0], corners[..., 1], log_density, levels, colors=color, linestyles="solid"
    )
    axes.plot([], [], color=color, label=name)
axes.set(
    xlabel="z1",
    ylabel="z2",
    title=f"Correlation is lost: a gap of {expected_gap:.2f} nats",
    aspect="equal",
)
axes.legend(loc="upper right")
plt.show()

# %% [markdown]
# Contours are at 1, 2 and 3 standard deviations. The best diagonal $q$ is *narrower* than the posterior in each
# direction of the axes: $\mathrm{KL}(q\,\|\,p)$ punishes $q$ for lying where $p$ is small, not for leaving parts of
# $p$ out.
#
# ## 7. The KL divergence in closed form
#
# For $q = \mathcal N(\mu, \mathrm{diag}(\sigma^2))$ and $p = \mathcal N(0, I)$ every expectation is known,
# $\mathbb E_q[z^2] = \mu^2 + \sigma^2$, and Appendix B of Kingma & Welling (2014) follows:
#
# $$\begin{aligned}
# \mathrm{KL}(q\,\|\,p) &= \mathbb E_q[\log q(z) - \log p(z)]\\
# &= \sum_j \Big(-\tfrac12\log\sigma_j^2 - \tfrac12\,\mathbb E_q\Big[\tfrac{(z_j-\mu_j)^2}{\sigma_j^2}\Big]
#  + \tfrac12\,\mathbb E_q[z_j^2]\Big)\\
# &= \tfrac12 \sum_j \big(\mu_j^2 + \sigma_j^2 - \log\sigma_j^2 - 1\big). \qquad (9)
# \end{aligned}$$
#
# Two examples to know by heart: $\mathcal N(1, 1)$ against $\mathcal N(0, 1)$ is $0.5$ nats, and
# $\mu = [1, 0]$, $\sigma^2 = [0.5, 2]$ gives $0.75$, in which the two logarithms cancel. The library writes it in
# $\log\sigma$, so that no logarithm of a variance is taken.

# %%
unit = Gaussian(jnp.array([1.0]), jnp.array([0.0]))
worked = Gaussian(jnp.array([1.0, 0.0]), 0.5 * jnp.log(jnp.array([0.5, 2.0])))
print(f"KL(N(1, 1) || N(0, 1)) = {kl_divergence(unit, standard_normal(1)):.4f}")
print(f"mu = [1, 0], sigma^2 = [.5, 2]: {kl_divergence(worked, standard_normal(2)):.4f} =", end=" ")
print(" + ".join(f"{each:.4f}" for each in kl_per_dimension(worked, standard_normal(2))))
np.testing.assert_allclose(kl_divergence(unit, standard_normal(1)), 0.5, rtol=1e-6)
np.testing.assert_allclose(kl_divergence(worked, standard_normal(2)), 0.75, rtol=1e-6)

log_unit = densities(Gaussian(jnp.array(1.0), jnp.array(0.0)), z)
by_integral = np.sum(np.exp(log_unit) * (log_unit - log_prior)) * dz
print(f"the first by integration: {by_integral:.6f}")
np.testing.assert_allclose(by_integral, 0.5, atol=1e-5)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
left.plot(z, np.exp(log_unit), color="C0", label="q = N(1, 1)")
left.plot(z, np.exp(log_prior), color="C7", label="p = N(0, 1)")
left.set(xlim=(-3, 4.5), xlabel="z", ylabel="density", title="two densities")
left.legend()
integrand = np.exp(log_unit) * (log_unit - log_prior)
right.fill_between(z, integrand, where=integrand >= 0, color="C0", alpha=0.4, label="adds")
right.fill_between(z, integrand, where=integrand < 0, color="C3", alpha=0.4, label="subtracts")
right.set(
    xlim=(-3, 4.5),
    xlabel="z",
    ylabel="q(z) log(q(z) / p(z))",
    title="the area is KL(q || p) = 0.5 nats",
)
right.legend()
plt.show()

# %% [markdown]
# **Any two Gaussians.** With full covariances, in $d$ dimensions,
#
# $$\mathrm{KL}(q\,\|\,p) = \tfrac12\Big(\mathrm{tr}\,(\Sigma_p^{-1}\Sigma_q)
# + (\mu_p-\mu_q)^\top\Sigma_p^{-1}(\mu_p-\mu_q) - d + \log\frac{\det\Sigma_p}{\det\Sigma_q}\Big). \tag{10}$$
#
# Three ways to the same number: this formula in NumPy, the library (which works with Cholesky factors and inverts
# nothing), and the mean of $\log q - \log p$ over samples. The divergence is not symmetric.

# %%
full_q = FullGaussian(
    jnp.array([0.5, -1.0, 0.2]), jnp.array([[1.0, 0, 0], [0.6, 0.7, 0], [-0.3, 0.2, 0.9]])
)
full_p = FullGaussian(
    jnp.array([0.0, 0.3, 0.0]), jnp.array([[1.2, 0, 0], [-0.4, 1.1, 0], [0.2, 0.5, 1.3]])
)
cov_q, cov_p = np.asarray(full_q.covariance, np.float64), np.asarray(full_p.covariance, np.float64)
shift = np.asarray(full_p.mean - full_q.mean, np.float64)
by_formula = 0.5 * (
    np.trace(np.linalg.solve(cov_p, cov_q))
    + shift @ np.linalg.solve(cov_p, shift)
    - 3
    + np.linalg.slogdet(cov_p)[1]
    - np.linalg.slogdet(cov_q)[1]
)


def log_ratio(key):
    value = full_q.sample(key)
    return full_q.log_prob(value) - full_p.log_prob(value)


ratios = jax.jit(jax.vmap(log_ratio))(keys)
print(
    f"KL(q || p): Eq. (10) {by_formula:.5f}   library {kl_divergence(full_q, full_p):.5f}", end=""
)
print(f"   samples {jnp.mean(ratios):.4f} ± {jnp.std(ratios) / 100:.4f}")
print(f"KL(p || q): library {kl_divergence(full_p, full_q):.5f}")
np.testing.assert_allclose(kl_divergence(full_q, full_p), by_formula, rtol=1e-5)
assert abs(jnp.mean(ratios) - by_formula) < 4 * jnp.std(ratios) / 100

# %% [markdown]
# **Any exponential family**, $p(x) = h(x)\exp(\langle\eta, T(x)\rangle - A(\eta))$. The log-normalizer $A$ alone gives
# the divergence, since its gradient is the mean of the statistics, $\nabla A(\eta) = \mathbb E[T(x)]$
# (Wainwright & Jordan 2008):
#
# $$\mathrm{KL}(q\,\|\,p) = A(\eta_p) - A(\eta_q) - \langle\eta_p - \eta_q,\; \nabla A(\eta_q)\rangle. \tag{11}$$
#
# In words: how far the convex function $A$ at $\eta_p$ lies above its tangent at $\eta_q$. For a Bernoulli variable,
# $\eta$ is the logit and $A(\eta) = \log(1 + e^\eta)$, one curve to look at; for gamma variables the formula gives,
# without any new derivation, what `kl_divergence` and an integral give.

# %%
q_gamma, p_gamma = Gamma(jnp.array(3.0), jnp.array(2.0)), Gamma(jnp.array(1.5), jnp.array(0.7))
family = EXPONENTIAL_FAMILIES[Gamma]
eta_q, eta_p = family.natural_parameters(q_gamma), family.natural_parameters(p_gamma)
mean_statistics = jax.grad(family.log_normalizer)(eta_q)  # E[log x], E[x]
by_log_normalizer = (
    family.log_normalizer(eta_p)
    - family.log_normalizer(eta_q)
    - sum((a - c) * m for a, c, m in zip(eta_p, eta_q, mean_statistics, strict=True))
)
values, step = np.linspace(1e-4, 30, 300_001, retstep=True)
log_a, log_c = densities(q_gamma, values), densities(p_gamma, values)
by_integral = np.sum(np.exp(log_a) * (log_a - log_c)) * step
print(f"E[x] = {mean_statistics[1]:.4f} = concentration / rate = {3 / 2:.4f}")
print(
    f"Eq. (11), by jax.grad of A {by_log_normalizer:.5f}   bregman_kl {bregman_kl(q_gamma, p_gamma):.5f}",
    end="",
)
print(f"   kl_divergence {kl_divergence(q_gamma, p_gamma):.5f}   integral {by_integral:.5f}")
np.testing.assert_allclose(by_log_normalizer, by_integral, rtol=1e-4)
np.testing.assert_allclose(kl_divergence(q_gamma, p_gamma), by_integral, rtol=1e-4)

log_normalizer = EXPONENTIAL_FAMILIES[Bernoulli].log_normalizer
etas, at_q, at_p = jnp.linspace(-4, 4, 201), jnp.array(-2.0), jnp.array(2.0)
tangent = log_normalizer(at_q) + jax.grad(log_normalizer)(at_q) * (etas - at_q)
foot = float(jnp.interp(at_p, etas, tangent))
divergence = float(kl_divergence(Bernoulli(at_q), Bernoulli(at_p)))
np.testing.assert_allclose(log_normalizer(at_p) - foot, divergence, rtol=1e-4)
figure, axes = plt.subplots(figsize=(7, 3.2))
axes.plot(etas, jax.nn.softplus(etas), color="C0", label="A(eta) = log(1 + exp(eta))")
axes.plot(etas, tangent, color="C7", linestyle="--", label="tangent at the logit of q")
axes.plot(
    [at_p, at_p],
    [foot, log_normalizer(at_p)],
    color="C3",
    linewidth=3,
    label=f"KL(q || p) = {divergence:.3f} nats",
)
axes.plot([at_q, at_p], [log_normalizer(at_q), log_normalizer(at_p)], "ko")
axes.set(
    xlabel="eta (logit)",
    ylabel="nats",
    title="Bernoulli: the KL is the height of A above its tangent",
)
axes.legend()
plt.show()

# %% [markdown]
# ## 8. The likelihood of bits, and a sign that is often copied wrong
#
# For $x \in \{0, 1\}$ with probability $\pi$ of a one,
#
# $$\log p(x) = x\log\pi + (1 - x)\log(1-\pi). \tag{12}$$
#
# Widely copied notes have a **minus** before $(1 - x)\log(1 - \pi)$. It cannot be right: with $\pi = 0.1$ the
# "probability" of $x = 0$ would be $1/0.9 = 1.11$, the two would not add up to one, and the loss would reward a
# decoder for claiming that a black pixel is white: the more certain of it, the better.

# %%
pi = 0.1
right_sign = {value: value * np.log(pi) + (1 - value) * np.log(1 - pi) for value in (0, 1)}
wrong_sign = {value: value * np.log(pi) - (1 - value) * np.log(1 - pi) for value in (0, 1)}
decoder = Bernoulli(jnp.log(pi) - jnp.log(1 - pi))
for value in (0, 1):
    print(
        f"x = {value}:  Eq. (12) {right_sign[value]:8.4f}   library {decoder.log_prob(jnp.array(float(value))):8.4f}",
        end="",
    )
    print(f"   with the slip {wrong_sign[value]:8.4f}")
    np.testing.assert_allclose(
        decoder.log_prob(jnp.array(float(value))), right_sign[value], rtol=1e-5
    )
totals = [sum(np.exp(list(each.values()))) for each in (right_sign, wrong_sign)]
print(f"sum of both probabilities: {totals[0]:.4f}, with the slip {totals[1]:.4f}")
np.testing.assert_allclose(totals[0], 1)

pis = np.linspace(0.001, 0.999, 400)
figure, axes = plt.subplots(figsize=(7, 3))
axes.plot(pis, np.log(1 - pis), color="C0", label="log p(x = 0), Eq. (12)")
axes.plot(pis, -np.log(1 - pis), color="C3", linestyle="--", label="with the slip")
axes.axhline(0, color="black", linewidth=0.8)
axes.set(
    xlabel="probability of a one that the decoder gives",
    ylabel="nats",
    ylim=(-5, 5),
    title="A pixel that is 0: which pi is best?",
)
axes.legend()
plt.show()

# %% [markdown]
# The library's decoders return the *logit* of $\pi$, since $\log(1 - \mathrm{sigmoid}(\text{logit}))$ has no digits
# left in single precision where the decoder is sure:

# %%
logit = jnp.array(100.0)
print(f"x = 0, logit 100: log(1 - sigmoid) = {jnp.log(1 - jax.nn.sigmoid(logit))}", end="")
print(f"   library {Bernoulli(logit).log_prob(jnp.array(0.0))}")
np.testing.assert_allclose(Bernoulli(logit).log_prob(jnp.array(0.0)), -100.0)

# %% [markdown]
# ## 9. The loss
#
# What is minimised is minus the mean of Eq. (8) over a batch: expectations over $q$ by one sample $z$ (differentiable
# by reparameterization: notebook 02), the KL by Eq. (9), *summed* over pixels and latents, *averaged* over examples.
# A mean over the 64 pixels would divide the reconstruction, but not the KL, by 64: a $\beta$-VAE with
# $\beta = 64$ (Higgins et al. 2017) that nobody asked for. Here are the lines, beside the library's loss, for a
# network that encodes and decodes scikit-learn's digits:

# %%
digits = vae_jax.load_dataset("digits")
vae = vae_jax.make_vae_for(digits, latent_dim=4, hidden=(64,))
batch = jax.tree.map(lambda leaf: leaf[:20], digits.train)
batch = vae_jax.to_model_examples(digits, vae_jax.key(0), batch)
params = vae.init(jax.random.key(2), batch)


def negative_elbo(key, x):
    q = vae.encode(params, x)
    z = q.mean + q.scale * jax.random.normal(key, q.mean.shape)
    reconstruction = vae.decode(params, z).log_prob(x)
    return -(reconstruction - kl_divergence(q, vae.prior(params)))


@jax.jit
def loss_by_hand(key):
    keys = jax.vmap(lambda key: jax.random.split(key, 1)[0])(jax.random.split(key, 20))
    return jnp.mean(jax.vmap(negative_elbo)(keys, batch.x))


objective = vae_jax.make_objective("elbo")
own = {"vae": params, "objective": {}}
loss, metrics = jax.jit(lambda key: objective.loss(key, vae, own, objective.hparams, batch, 0))(
    jax.random.key(3)
)
print(
    f"by hand {loss_by_hand(jax.random.key(3)):.4f}   library {loss:.4f} nats per example", end=""
)
print(f"   = -(reconstruction {metrics['reconstruction']:.4f} - KL {metrics['kl']:.4f})")
np.testing.assert_allclose(loss, loss_by_hand(jax.random.key(3)), rtol=1e-5)

# %% [markdown]
# ## 10. What breaks where the posterior is not Gaussian
#
# Let the decoder forget a sign: $p(x|z) = \mathcal N(z^2, 0.5^2)$. Then $z$ and $-z$ explain $x$ equally well and the
# posterior has two modes. No Gaussian $q$ can be equal to it, so that the bound is never tight. We search the best
# Gaussian by gradient ascent on the ELBO (as the library's report on tightness does), from a start on either side.

# %%
noise, x_squared = 0.5, jnp.array(2.0)
squared = VAE(
    init=lambda key, examples: {},
    encode=lambda q, x, y=None: q,
    decode=lambda q, z, y=None: Gaussian(z**2, jnp.log(noise)),
    prior=lambda q, y=None: prior,
)
log_joint = log_prior + np.asarray(
    jax.vmap(lambda z: Gaussian(z**2, jnp.log(noise)).log_prob(x_squared))(z), np.float64
)
log_px = np.log(np.sum(np.exp(log_joint)) * dz)
log_posterior = log_joint - log_px


def gap(q):
    """KL(q || p(z|x)) by a sum over the grid."""
    log_q = densities(q, z)
    return np.sum(np.exp(log_q) * (log_q - log_posterior)) * dz


search = jax.jit(
    lambda key, start: best_posterior(
        key, squared, start, (x_squared, None), Search(num_steps=1000)
    )
)
best = {
    start: search(jax.random.key(4), Gaussian(jnp.array(start), jnp.log(0.5)))
    for start in (-0.5, 0.5)
}
both = Mixture(jnp.zeros(2), jax.tree.map(lambda *leaves: jnp.stack(leaves), *best.values()))

print(f"log p(x) = {log_px:.4f} nats")
for start, q in best.items():
    print(f"start {start:4}: best q = N({q.mean:.3f}, {q.scale:.3f}^2)   gap {gap(q):.4f}", end="")
    print(f"   ELBO {log_px - gap(q):.4f}")
print(
    f"half of each:                             gap {gap(both):.4f}   ELBO {log_px - gap(both):.4f}"
)
assert all(abs(gap(q) - np.log(2)) < 0.05 for q in best.values())
assert gap(both) < 0.05

# %%
figure, axes = plt.subplots(figsize=(7, 3.2))
axes.plot(z, np.exp(log_posterior), color="black", label="posterior p(z|x)")
axes.plot(
    z,
    np.exp(densities(best[0.5], z)),
    color="C3",
    label=f"best Gaussian q: gap {gap(best[0.5]):.2f} nats",
)
axes.plot(
    z,
    np.exp(densities(both, z)),
    color="C0",
    linestyle="--",
    label=f"mixture of two: gap {gap(both):.2f} nats",
)
axes.set(
    xlim=(-2.5, 2.5), xlabel="z", ylabel="density", title="A Gaussian q settles in one of two modes"
)
axes.legend(loc="upper left")
plt.show()

# %% [markdown]
# Nearly all of the gap is $\log 2 = 0.693$ nats: $q$ puts all of its mass where the posterior has half of it, so that
# $\mathbb E_q[\log q - \log p(z|x)] \approx \log 1 - \log\tfrac12$. (The rest is that a mode is not quite
# Gaussian, and is all that the mixture is left with.) What helps is a richer family (a mixture here; in
# the library the posteriors `full_gaussian`, `inverse_autoregressive`, `coupling`, `two_layers`), or more samples
# (notebook 04). But beware: samples of $q$ cannot tell what $q$ never visits. The weights of this $q$ look perfectly
# even, and the importance-weighted bound of ten thousand of them is still $\log 2$ too low:

# %%
log_weights = jax.jit(lambda keys, q: sample_terms(keys, squared, q, x_squared, None).log_weights)(
    keys, best[0.5]
)
shares = jax.nn.softmax(log_weights)
bound = importance_weighted_bound(log_weights)
print(f"effective sample size {1 / jnp.sum(shares**2):,.0f} of {len(keys):,}", end="")
print(f"   log p(x) - bound of 10,000 samples = {log_px - bound:.4f} nats")
assert abs(log_px - bound - np.log(2)) < 0.05

# %% [markdown]
# ## In five lines
#
# 1. $\log p(x) = \mathrm{ELBO}(q) + \mathrm{KL}(q\,\|\,p(z|x))$ for every $q$: the ELBO is a lower bound.
# 2. $\mathrm{ELBO} = \mathbb E_q[\log p(x|z)] - \mathrm{KL}(q\,\|\,p(z))$: two terms that a program can compute.
# 3. It is tight where $q$ is the posterior; a diagonal Gaussian cannot be everywhere.
# 4. For Gaussians the KL is $\tfrac12\sum_j(\mu_j^2 + \sigma_j^2 - \log\sigma_j^2 - 1)$; for bits the reconstruction is
#    $+\sum[x\log\pi + (1 - x)\log(1 - \pi)]$.
# 5. Sums over pixels and latents, means over examples.
#
# **Sources.**
# D. P. Kingma, M. Welling, *Auto-Encoding Variational Bayes*, 2014 (arXiv 1312.6114).
# S. Odaibo, *Tutorial: Deriving the Standard Variational Autoencoder (VAE) Loss Function*, 2019 (arXiv 1907.08956).
# P. F. Roysdon, *Variational Autoencoder*, notes in "Math Derivations" (github.com/pfroysdon/publications).
# Y. Burda, R. Grosse, R. Salakhutdinov, *Importance Weighted Autoencoders*, 2016 (arXiv 1509.00519).
# I. Higgins et al., *beta-VAE*, 2017.
# M. E. Tipping, C. M. Bishop, *Probabilistic Principal Component Analysis*, 1999.
# M. J. Wainwright, M. I. Jordan, *Graphical Models, Exponential Families, and Variational Inference*, 2008.
