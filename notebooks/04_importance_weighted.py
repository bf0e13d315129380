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
# # Importance-weighted bounds: tighter, and what that costs
#
# One sample of $q(z|x)$ gives the ELBO; the average of $K$ importance weights, before the logarithm is taken, gives a
# tighter bound (Burda et al. 2016). This notebook shows how the bound rises with $K$ in a model whose $\log p(x)$ is
# known, what the numbers of a trained model say about how tight its bounds are, why more samples make the *encoder's*
# gradient worse (Rainforth et al. 2018), and the estimator that repairs it (Tucker et al. 2019). Every number is in
# nats; bounds are "larger is better".

# %%
import jax
import jax.numpy as jnp
import numpy as np

import vae_jax
from vae_jax import evaluation, figures
from vae_jax.datasets import Examples
from vae_jax.distributions import Gaussian
from vae_jax.models import VAE
from vae_jax.objectives import (
    importance_weighted_bound,
    multiply_importance_weighted_bound,
    sample_terms,
)

# %% [markdown]
# ## 1. The bound of K samples
#
# With $z_1, \dots, z_K \sim q(z|x)$ and the importance weights $w_k = p(x, z_k)/q(z_k|x)$, whose mean is $p(x)$:
#
# $$\mathcal L_K = \mathbb E\Big[\log \frac1K\sum_{k=1}^K w_k\Big] \;\le\; \log \mathbb E\Big[\frac1K\sum_k w_k\Big] = \log p(x). \tag{1}$$
#
# It is Jensen's inequality as for the ELBO, which is $\mathcal L_1$; but a mean of $K$ weights varies less than one of
# them, so that less is lost: $\mathcal L_1 \le \mathcal L_2 \le \dots \to \log p(x)$ (Burda et al. 2016, Eq. (8) for the
# bound). With $u = \frac1K\sum_k w_k\,/\,p(x) - 1$, whose mean is zero, the gap is
#
# $$\log p(x) - \mathcal L_K = \mathbb E[u - \log(1 + u)] \approx \tfrac12\,\mathbb E[u^2] = \frac{\mathrm{Var}[w]}{2K\,p(x)^2}: \tag{2}$$
#
# it falls as $1/K$, once $K$ is large.
#
# The model of notebook 01, $p(z) = \mathcal N(0, 1)$, $p(x|z) = \mathcal N(1.5z + 0.5,\, 0.8^2)$ at $x = 2$, with a $q$
# that is too wide and not in the right place. Its variance of $w$ is an integral, here a sum over a grid.

# %%
w, b, s, x = 1.5, 0.5, 0.8, jnp.array(2.0)
prior = Gaussian(jnp.array(0.0), jnp.array(0.0))
q = Gaussian(jnp.array(0.3), jnp.log(0.7))
lesson = VAE(
    init=lambda key, examples: {},
    encode=lambda q, x, y=None: q,  # the parameters of q are all parameters of this model
    decode=lambda q, z, y=None: Gaussian(w * z + b, jnp.log(s)),
    prior=lambda q, y=None: prior,
)
log_px = float(Gaussian(jnp.array(b), 0.5 * jnp.log(w**2 + s**2)).log_prob(x))

draws = jax.random.split(jax.random.key(0), 2**20)
log_weights = np.asarray(
    jax.jit(lambda keys: sample_terms(keys, lesson, q, x, None).log_weights)(draws)
)

z, dz = np.linspace(-8, 8, 16_001, retstep=True)
log_joint = -0.5 * (z**2 + ((x - w * z - b) / s) ** 2) - np.log(2 * np.pi * s)
log_q = -0.5 * ((z - 0.3) / 0.7) ** 2 - np.log(0.7) - 0.5 * np.log(2 * np.pi)
relative_variance = np.sum(np.exp(2 * log_joint - log_q)) * dz / np.exp(2 * log_px) - 1
print(f"log p(x) = {log_px:.4f}   Var[w] / p(x)^2 = {relative_variance:.3f}")

sizes = 2 ** np.arange(0, 13)
bounds, errors, gaps = [], [], []
for size in sizes:  # means over 2^20 / K groups of K samples
    each = evaluation.importance_weighted_bounds(log_weights.astype(np.float64).reshape(-1, size))
    bounds.append(np.mean(each))
    errors.append(np.std(each) / np.sqrt(len(each)))
    gaps.append(np.mean(np.exp(each - log_px) - 1 - (each - log_px)))  # Eq. (2): less noise
bounds, errors, gaps = np.array(bounds), np.array(errors), np.array(gaps)
for size, bound, error, gap in zip(sizes[::3], bounds[::3], errors[::3], gaps[::3], strict=True):
    print(f"K = {size:5}: bound {bound:.4f} ± {error:.4f}   gap {gap:.5f}", end="")
    print(f"   Var[w] / (2 K p(x)^2) = {relative_variance / 2 / size:.5f}")
assert np.all(np.diff(gaps) < 0) and np.all(np.abs(log_px - bounds - gaps) < 4 * errors)
large = (sizes >= 64) & (sizes <= 1024)
np.testing.assert_allclose(gaps[large], relative_variance / 2 / sizes[large], rtol=0.1)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
left.semilogx(sizes, bounds, "o-", color="C0", label="importance-weighted bound")
left.axhline(log_px, color="black", linestyle="--", label="log p(x)")
left.axhline(bounds[0], color="C3", linestyle=":", label="ELBO (K = 1)")
left.set(xlabel="K, samples per bound", ylabel="nats", title="The bound rises to log p(x)")
left.legend()
right.loglog(sizes, gaps, "o", color="C0", label="gap, measured")
right.loglog(sizes, relative_variance / 2 / sizes, color="C7", label="Var[w] / (2 K p(x)²)")
right.set(
    xlabel="K, samples per bound", ylabel="log p(x) - bound, nats", title="The gap falls as 1 / K"
)
right.legend()
plt.show()

# %% [markdown]
# Two things to get right in a program. The value is the logarithm of the mean weight, *not* the mean of the
# log-weights under the normalized weights, which is larger and no bound at all (the latter is only a way to write the
# gradient). And with $M$ groups of $K$ samples (MIWAE, Rainforth et al. 2018) the mean over groups is outside of the
# logarithm: $M$ divides its noise, $K$ alone tightens the bound. At a fixed budget of 64 samples:

# %%
some = jnp.asarray(log_weights[:64])
mistaken = np.mean(
    [np.sum(jax.nn.softmax(each) * each) for each in log_weights[:64_000].reshape(-1, 64)]
)
print(
    f"log p(x) {log_px:.4f}   bound of 64 {bounds[6]:.4f}   normalized weights times log-weights {mistaken:.4f}"
)
assert mistaken > log_px
np.testing.assert_allclose(
    importance_weighted_bound(some), np.log(np.mean(np.exp(log_weights[:64]))), rtol=1e-5
)

groups = log_weights[: 64 * 4096].reshape(4096, 64)
for num_groups in (1, 8, 64):
    each = jax.vmap(lambda row: multiply_importance_weighted_bound(row, num_groups))(groups)  # noqa: B023
    print(f"64 samples as M = {num_groups:2} groups of K = {64 // num_groups:2}:", end=" ")
    print(f"mean {jnp.mean(each):.4f}, standard deviation {jnp.std(each):.4f}")
    np.testing.assert_allclose(jnp.mean(each), bounds[6 - int(np.log2(num_groups))], atol=0.02)

# %% [markdown]
# ## 2. How tight are the bounds of a trained model?
#
# Now $\log p(x)$ is not known. We train two small models on scikit-learn's digits, one by the ELBO and one by the
# bound of 16 samples, and measure both by the pieces of the library's report
# (`python -m experiments.evaluate --report=likelihood` does the same with a whole run):
#
# * `make_log_weights` draws 1,000 log-weights per test digit, and `diagnose` makes of them the bound at several $K$,
#   the *jackknife* (which removes the $1/K$ term of the bias, Nowozin 2018), the *effective sample size* and *Pareto
#   k*, which says how heavy the tail of the weights is (above about 0.7 a mean of weights is not to be trusted, Vehtari et al.);
# * `make_annealed` estimates $\log p(x)$ by annealed importance sampling, which is not misled by a bad $q$ as easily.

# %%
digits = vae_jax.load_dataset("digits")
vae = vae_jax.make_vae_for(digits, latent_dim=6, hidden=(64,))
trained = {}
for name, objective in {
    "ELBO": vae_jax.make_objective("elbo"),
    "IWAE, K = 16": vae_jax.make_objective(
        "iwae", num_samples=16, estimator="doubly_reparameterized"
    ),
}.items():
    trained[name] = vae_jax.fit(
        vae, digits, objective, num_epochs=60, num_samples=10, silent=True
    ).params

keys = vae_jax.evaluation_keys(vae_jax.key(0))
test = jax.tree.map(lambda leaf: leaf[:100], digits.test)
test = vae_jax.to_model_examples(digits, keys.binarization, test)._replace(y=None)
sizes = (1, 10, 100, 1000)
draw_log_weights = evaluation.make_log_weights(vae, keys, sizes[-1], chunk_size=500)
annealing = evaluation.Annealing(num_chains=4, num_temperatures=100)
annealed = evaluation.make_annealed(vae, annealing)
few = jax.tree.map(lambda leaf: leaf[::5], test)

members, log_weights = {}, {}
for name, params in trained.items():
    drawn = vae_jax.map_examples(draw_log_weights, params, test, 50)
    log_weights[name] = np.asarray(drawn["log_weights"], np.float64)
    told = evaluation.diagnose(log_weights[name], sizes)
    chains = vae_jax.map_examples(annealed, (params, keys.annealing), few, 20)
    by_chains = evaluation.importance_weighted_bounds(np.asarray(chains["log_weights"], np.float64))
    difference = evaluation.estimate(by_chains - told["bound"][::5, -1], "examples")
    columns = {
        each: [
            {"num_samples": size}
            | evaluation.mean_over_examples(
                evaluation.Spread(-told[each][:, i], told[f"{each}_variance"][:, i])
            )
            for i, size in enumerate(sizes)
            if size > 1 or each == "bound"
        ]
        for each in ("bound", "jackknife")
    }
    members[name] = {
        "elbo": {"mean": float(np.mean(drawn["elbo"]))},
        "nll": columns["bound"],
        "jackknife": columns["jackknife"],
        "annealed": {
            "less_than_nll": {
                "mean": difference.mean,
                "standard_error_over_examples": difference.standard_error,
            }
        },
    }
    nll = columns["bound"][-1]["mean"]
    print(f"{name:13} -ELBO {-np.mean(drawn['elbo']):7.2f}   -log p(x) {nll:7.2f}", end="")
    print(f"   ELBO too low by {-np.mean(drawn['elbo']) - nll:.2f}")
    print(
        f"{'':13} effective sample size: median {np.median(told['effective_sample_size']):.0f}",
        end="",
    )
    print(f" of {sizes[-1]}   Pareto k: median {np.median(told['pareto_k']):.2f}", end="")
    print(f"   annealed: {difference.mean:.3f} ± {difference.standard_error:.3f} above the bound")
    assert np.all(np.diff([each["mean"] for each in columns["bound"]]) < 0)  # tighter with K

figures.likelihood_curves(
    members, "-log p(x) of 100 test digits against K\nerror bars: two standard errors over samples"
)

# %% [markdown]
# The model trained by the ELBO keeps its bound *tight*: its decoder stays where the Gaussian $q$ can follow. The model
# trained by the bound of 16 samples is free to have posteriors that $q$ does not fit, so that its ELBO is looser.
# Here it reaches the better $-\log p(x)$, although its ELBO is the worse one: the ELBO alone does not tell. Pareto k
# warns that the weights have a heavy tail; that annealed importance sampling, another method, agrees within its error
# is what makes the number credible.
#
# ## 3. Where does the gap come from?
#
# $\log p(x) - \mathrm{ELBO} = \mathrm{KL}(q(z|x)\,\|\,p(z|x))$ is the sum of two (Cremer et al. 2018): the
# *approximation gap*, of the best $q$ in the family for this $x$, and the *amortization gap*, by which the encoder's $q$
# falls short of that best one. `make_tightness` searches the best $q$ of each example by gradient ascent.

# %%
search = evaluation.Search(num_steps=200, num_samples=8)
tightness = evaluation.make_tightness(vae, search, num_samples=200, chunk_size=200)
gaps = {}
for name, params in trained.items():
    told = vae_jax.map_examples(tightness, (params, keys.tightness), few, 20)
    log_likelihood = evaluation.importance_weighted_bounds(log_weights[name][::5])
    gaps[name] = {
        "approximation": float(np.mean(log_likelihood - told["best_elbo"])),
        "amortization": float(np.mean(told["amortization_gap"])),
    }
    total = float(np.mean(log_likelihood - told["elbo"]))
    print(f"{name:13} total gap {total:.2f} = ", end="")
    print(" + ".join(f"{part} {value:.2f}" for part, value in gaps[name].items()))
    np.testing.assert_allclose(total, sum(gaps[name].values()), rtol=1e-3)

figure, axes = plt.subplots(figsize=(7, 2.2))
left_ends = np.zeros(len(gaps))
for part, color in (("approximation", "C0"), ("amortization", "C1")):
    widths = np.array([each[part] for each in gaps.values()])
    axes.barh(list(gaps), widths, left=left_ends, color=color, label=f"{part} gap")
    left_ends += widths
axes.set(xlabel="nats per test digit", title="log p(x) - ELBO, in its two parts")
axes.invert_yaxis()
axes.legend()
plt.show()

# %% [markdown]
# Nearly all of the gap is amortization: for each of these digits there is a far better Gaussian than the one that this
# small, shortly trained encoder names. A better encoder would close it; a richer family of $q$ would not.
#
# ## 4. Tighter bounds, worse gradients
#
# The gradient of $\mathcal L_K$ in the encoder vanishes as $K$ grows: in the limit the bound is $\log p(x)$ whatever
# $q$ is. Its noise falls too, but more slowly. Theorem 1 of Rainforth et al. (2018) for the signal-to-noise ratio
# $|\mathbb E\,g| / \sqrt{\mathrm{Var}\,g}$ of one gradient:
#
# $$\mathrm{SNR}_K(\text{model}) = O(\sqrt K), \qquad \mathrm{SNR}_K(\text{encoder, pathwise}) = O(1/\sqrt K). \tag{3}$$
#
# We repeat their experiment with two latents: $p(z) = \mathcal N(\mu, I)$, $p(x|z) = \mathcal N(z, I)$,
# $q(z|x) = \mathcal N(Ax + c, \tfrac23 I)$, near but not at the optimum. A point is 400 independent gradients; the
# signal of both estimators is the mean of the one with less noise.

# %%
generator = np.random.default_rng(0)
mu = generator.normal(size=2)
observed = mu + generator.normal(size=(8, 2)) + generator.normal(size=(8, 2))
batch = Examples(jnp.array(observed, jnp.float32), None)
near = lambda value: jnp.array(value + 0.1 * generator.normal(size=value.shape), jnp.float32)  # noqa: E731
params = {"encoder": {"A": near(np.eye(2) / 2), "c": near(mu / 2)}, "model": {"mu": near(mu)}}
linear = VAE(
    init=lambda key, examples: params,
    encode=lambda p, x, y=None: Gaussian(
        p["encoder"]["A"] @ x + p["encoder"]["c"], jnp.full(2, 0.5 * jnp.log(2 / 3))
    ),
    decode=lambda p, z, y=None: Gaussian(z, jnp.zeros(2)),
    prior=lambda p, y=None: Gaussian(p["model"]["mu"], jnp.zeros(2)),
)


def make_loss(estimator, num_samples):
    objective = vae_jax.make_objective("iwae", num_samples=num_samples, estimator=estimator)

    def loss(key, params, batch):
        own = {"vae": params, "objective": {}}
        return objective.loss(key, linear, own, objective.hparams, batch, 0)[0]

    return loss


numbers = (1, 8, 64, 512)
reference, others = "doubly_reparameterized", ("pathwise",)
chosen = evaluation.choose_parameters(jax.random.key(0), params, ("encoder", "model"), 10)
moments = {}
for number in numbers:
    for estimator in (reference, *others):
        group_moments = evaluation.make_group_moments(
            make_loss(estimator, number), chosen, at_once=40
        )
        groups = [
            jax.device_get(group_moments(keys, params, batch))
            for keys in jax.random.split(jax.random.key(1), (10, 40))
        ]
        for block in chosen:
            of_block = [each[block] for each in groups]
            moments[estimator, number, block] = evaluation.join_groups(of_block, 40)

summary = {}
for estimator in (reference, *others):
    for block in chosen:
        own = [moments[estimator, number, block] for number in numbers]
        signals = [moments[reference, number, block] for number in numbers]
        ratios = [evaluation.signal_to_noise(*pair) for pair in zip(own, signals, strict=True)]
        slope = evaluation.slope_of_signal_to_noise(numbers[1:], own[1:], signals[1:])
        summary.setdefault(estimator, {})[block] = {
            "num_samples": numbers,
            "signal_to_noise": [ratio._asdict() for ratio in ratios],
            "slope": slope._asdict() | {"from": numbers[1]},
        }
        print(
            f"{estimator:23} {block:8} slope of log SNR {slope.mean:6.3f} ± {slope.standard_error:.3f}"
        )

slopes = {
    (name, block): summary[name][block]["slope"]["mean"] for name in summary for block in chosen
}
assert abs(slopes["pathwise", "encoder"] + 0.5) < 0.05
assert abs(slopes["doubly_reparameterized", "encoder"] - 0.5) < 0.05
assert abs(slopes["pathwise", "model"] - 0.5) < 0.05

floor = (2 / (np.pi * 400)) ** 0.5
title = "More samples drown the encoder's pathwise gradient in noise\nlinear-Gaussian model, 8 examples, 400 replicates; bands: two standard errors"
figures.signal_to_noise_curves(summary, title, floor)

# %% [markdown]
# ## 5. The doubly reparameterized gradient
#
# Why is the pathwise gradient so noisy? With $\tilde w_k = w_k / \sum_j w_j$ and $z_k = g_\phi(\varepsilon_k)$,
#
# $$\nabla_\phi \log \frac1K\sum_k w_k = \sum_k \tilde w_k\Big(
# \frac{\partial \log w_k}{\partial z_k}\frac{\partial z_k}{\partial\phi}
# - \frac{\partial \log q_\phi(z_k|x)}{\partial\phi}\Big|_{z_k}\Big). \tag{4}$$
#
# The last term is a *score function* (notebook 02), with all of its noise. For $K = 1$ its mean is zero and it could
# be dropped; for $K > 1$ the weights depend on $z_k$, and dropping it makes a bias. Tucker et al. (2019) reparameterize
# it once more: a score function times $\tilde w_k$ has the mean of a pathwise gradient of $\tilde w_k$,
#
# $$\mathbb E\Big[\tilde w_k\,\frac{\partial \log q_\phi(z_k|x)}{\partial\phi}\Big|_{z_k}\Big]
# = \mathbb E\Big[\frac{\partial \tilde w_k}{\partial z_k}\frac{\partial z_k}{\partial\phi}\Big],\qquad
# \frac{\partial\tilde w_k}{\partial\log w_k} = \tilde w_k - \tilde w_k^2,$$
#
# so that of Eq. (4) only squared weights are left:
#
# $$\nabla_\phi\mathcal L_K = \mathbb E\Big[\sum_k \tilde w_k^2\;\frac{\partial \log w_k}{\partial z_k}\,\frac{\partial z_k}{\partial\phi}\Big]. \tag{5}$$
#
# Eq. (5) by hand, against the library's estimator with the same noise; then its mean against that of Eq. (4), and of
# the estimator that drops the score (sticking the landing), which is biased for $K > 1$. The model is that of Section 1,
# with $K = 8$.

# %%
one = Examples(x[None], None)


def by_hand(q, key):
    """A number whose gradient in q is that of Eq. (5)."""
    zs = jax.vmap(q.sample)(jax.random.split(jax.random.split(key, 1)[0], 8))
    density = jax.lax.stop_gradient(q)
    log_w = jax.vmap(
        lambda z: (
            Gaussian(w * z + b, jnp.log(s)).log_prob(x) + prior.log_prob(z) - density.log_prob(z)
        )
    )(zs)
    return jnp.sum(jax.lax.stop_gradient(jax.nn.softmax(log_w)) ** 2 * log_w)


def by_library(estimator):
    objective = vae_jax.make_objective("iwae", num_samples=8, estimator=estimator)

    def bound(q, key):
        return -objective.loss(key, lesson, {"vae": q, "objective": {}}, {}, one, 0)[0]

    return jax.jit(jax.vmap(jax.grad(bound), (None, 0)))(q, draws[:50_000])


written_out = jax.jit(jax.vmap(jax.grad(by_hand), (None, 0)))(q, draws[:50_000])
gradients = {
    name: by_library(name)
    for name in ("pathwise", "doubly_reparameterized", "sticking_the_landing")
}
difference = jnp.max(jnp.abs(written_out.mean - gradients["doubly_reparameterized"].mean))
print(f"Eq. (5) by hand, against the library: largest difference {difference:.1e}")
np.testing.assert_allclose(written_out.mean, gradients["doubly_reparameterized"].mean, atol=1e-4)

# The gradient of the exact bound: a finite difference of the mean bound with the same noise.
mean_bound = jax.jit(
    lambda mean: jnp.mean(
        jax.vmap(importance_weighted_bound)(
            sample_terms(
                draws[:400_000], lesson, Gaussian(mean, q.log_scale), x, None
            ).log_weights.reshape(-1, 8)
        )
    )
)
exact = (mean_bound(q.mean + 0.05) - mean_bound(q.mean - 0.05)) / 0.1
print(f"{'finite difference':23} {exact:8.4f}")
for name, each in gradients.items():
    error = jnp.std(each.mean) / np.sqrt(50_000)
    print(
        f"{name:23} {jnp.mean(each.mean):8.4f} ± {error:.4f}   standard deviation of one: {jnp.std(each.mean):.4f}"
    )
both = gradients["pathwise"].mean - gradients["doubly_reparameterized"].mean
assert abs(jnp.mean(both)) < 4 * jnp.std(both) / np.sqrt(50_000)  # the same mean
biased = gradients["sticking_the_landing"].mean
assert abs(jnp.mean(biased) - exact) > 10 * jnp.std(biased) / np.sqrt(50_000)

# %%
figure, axes = plt.subplots(figsize=(7, 3.2))
bins = np.linspace(-3, 4, 141)
for name, color in (("pathwise", "C0"), ("doubly_reparameterized", "C2")):
    axes.hist(
        np.asarray(gradients[name].mean), bins, density=True, alpha=0.6, color=color, label=name
    )
axes.axvline(exact, color="black", linestyle="--", label="gradient of the bound")
axes.set(
    xlabel="gradient of the bound of 8 samples, in the mean of q",
    ylabel="density",
    title="One gradient: same mean, less noise",
)
axes.legend()
plt.show()

# %% [markdown]
# ## What to remember
#
# * $\mathcal L_K$ rises with $K$ to $\log p(x)$, with a gap of about $\mathrm{Var}[w]/(2Kp(x)^2)$: it is tight soon where
#   $q$ is close to the posterior. Reported values of $-\log p(x)$ are such bounds, commonly with $K = 5000$.
# * Look at the effective sample size, at Pareto k and at a second method before believing a bound.
# * With `objective=iwae`, use `estimator=doubly_reparameterized`: the encoder's signal-to-noise ratio then grows with
#   $K$ as the model's does. MIWAE, CIWAE and PIWAE (Rainforth et al. 2018) are objectives and estimators of the library
#   too.
#
# **Sources.**
# Y. Burda, R. Grosse, R. Salakhutdinov, *Importance Weighted Autoencoders*, 2016 (arXiv 1509.00519).
# T. Rainforth et al., *Tighter Variational Bounds are Not Necessarily Better*, 2018 (arXiv 1802.04537).
# G. Tucker, D. Lawson, S. Gu, C. J. Maddison, *Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives*, 2019 (arXiv 1810.04152).
# C. Cremer, X. Li, D. Duvenaud, *Inference Suboptimality in Variational Autoencoders*, 2018 (arXiv 1801.03558).
# S. Nowozin, *Debiasing Evidence Approximations: On Importance-weighted Autoencoders and Jackknife Variational Inference*, 2018.
# A. Vehtari et al., *Pareto Smoothed Importance Sampling* (arXiv 1507.02646).
# D. P. Kingma, M. Welling, *Auto-Encoding Variational Bayes*, 2014 (arXiv 1312.6114).
