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
# # Conditional and discrete: a class that is given, an image that is half known, a latent that is a choice
#
# Three variations of one bound. First the model is *given* something, y: the class of a digit, or a quarter of an image (Sohn et al. 2015). Then
# the latent becomes *discrete*, and the gradient through a sample, on which training rests, no longer exists: the Gumbel-Softmax or
# Concrete relaxation (Jang et al. 2017; Maddison et al. 2017) brings one back, at the price of a bias. We measure that price against exact enumeration.
#
# The data are scikit-learn's 1,797 digits: 8 x 8 counts of 0 to 16 dots of ink, with a binomial likelihood. All numbers are nats. It runs on a
# CPU in one to two minutes.

# %%
import itertools

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

import vae_jax
from vae_jax import evaluation, figures
from vae_jax.distributions import Categorical, kl_divergence

plt.show()  # from here on, figures that are not pyplot's are shown too

# %% [markdown]
# ## Given the class
#
# Let the label y enter everything: $p(x|z,y)$, $q(z|x,y)$ and, if one likes, $p(z|y)$. For each y the derivation of the ELBO is word for word the same, and
# so is the bound:
#
# $$\log p(x|y) \ge \mathbb{E}_{q(z|x,y)}[\log p(x|z,y)] - \mathrm{KL}(q(z|x,y)\,\|\,p(z|y)).$$
#
# (Sohn et al. write x for what is given and y for what is predicted; here y is always what is given.) `conditional=True` is all that it takes.
# With the prior $p(z) = \mathcal N(0, I)$, the same for all classes, $z$ has to carry what the label does not say: the handwriting.

# %%
digits = vae_jax.load_dataset("digits")
vae = vae_jax.make_vae_for(digits, conditional=True, latent_dim=8, hidden=(128,))
cvae = vae_jax.fit(
    vae,
    digits,
    vae_jax.make_objective("elbo", beta=2.0),
    num_epochs=100,
    learning_rate=4e-3,
    silent=True,
)
print({name: round(value, 2) for name, value in cvae.numbers.items()})

# %% [markdown]
# Each row below is one $z$ from the prior, each column a class. If $z$ is the handwriting, then a row keeps slant and stroke width while the digit changes.

# %%
styles = jax.random.normal(jax.random.key(1), (6, 8))
decode = jax.vmap(jax.vmap(lambda z, y: vae.decode(cvae.params, z, y).mean, (None, 0)), (0, None))
figures.image_grid(
    np.asarray(decode(styles, jnp.arange(10))),
    "One handwriting, ten digits\nrows: z from the prior; columns: the class y",
    [f"z number {i}" for i in range(6)],
    [f"y = {y}" for y in range(10)],
)

# %% [markdown]
# **Check 1: Bayes' theorem.** Nobody trained a classifier, but the model has one: $p(y|x) \propto p(x|y)\,p(y)$. We estimate $\log p(x|y)$ of each test image
# under each of the ten labels by 100 importance samples.
#
# **Check 2.** With equal classes $p(x) = \tfrac1{10}\sum_y p(x|y) \ge \tfrac1{10}\, p(x|y)$. Knowing the class can therefore make an image at most
# $\log 10 = 2.30$ nats more probable: no conditional model is better than its own mixture by more than that, however clever.

# %%
x, labels = np.asarray(digits.test.x), np.asarray(digits.test.y)
by_class = np.stack([cvae.model.log_likelihood(x, y=np.full(len(x), y)) for y in range(10)], axis=1)
log_px = logsumexp(by_class, axis=1) - np.log(10)
gain = by_class[np.arange(len(x)), labels] - log_px
accuracy = np.mean(np.argmax(by_class, axis=1) == labels)
print(f"labels found by Bayes' theorem: {accuracy:.1%} of {len(x)} test images right")
print(
    f"log p(x|y) - log p(x): mean {np.mean(gain):.3f}, largest {np.max(gain):.3f}, log 10 = {np.log(10):.3f}"
)

# %% [markdown]
# ## Given a quarter of the image
#
# The task of Sohn et al. (2015, Section 5.1): given the lower left quarter, predict the other three. The condition y is now an image, and what can be drawn
# beside a stroke depends on it, so the prior should too: `conditional_gaussian` is a network that gives $p(z|y)$, trained by the same KL.
# `given_quadrants=1` cuts the data; every number is about the *rest* of the image.
#
# What are the latents for? To see it we train the same network with a KL so dear ($\beta = 100$) that $z$ carries nothing: it can only predict each pixel by its
# probability given the quarter, all pixels independently. That is Sohn's deterministic baseline.

# %%
quarters = vae_jax.load_dataset("digits", given_quadrants=1)
vae_q = vae_jax.make_vae_for(
    quarters, conditional=True, prior="conditional_gaussian", latent_dim=8, hidden=(128,)
)

fitted = vae_jax.fit_members(
    vae_q, quarters, sweep={"beta": [2, 100]}, num_epochs=83, num_samples=20, silent=True
)
names = ("conditional VAE", "without latents")
completers = {name: each.model for name, each in zip(names, fitted, strict=True)}
for name, model in completers.items():
    log_likelihoods = model.log_likelihood(x)
    error = np.std(log_likelihoods) / np.sqrt(len(x))
    print(f"{name:16} -log p(rest|quarter) {-np.mean(log_likelihoods):6.2f} ± {error:.2f} nats")

# %%
given = np.asarray(quarters.given)
shown = np.array([3, 10, 25, 31, 40, 52])
whole = x[shown].astype(np.float32)


def complete(model, seed):
    """Return a mean of p(rest|z, quarter) for one z of p(z|quarter), with the quarter as it is."""
    drawn = model.sample(len(shown), y=x[shown], means=True, seed=seed)
    return np.where(given > 0, whole, drawn)


columns = [whole, np.where(given > 0, whole, np.nan), complete(completers["without latents"], 0)]
columns += [complete(completers["conditional VAE"], seed) for seed in range(6)]
marked = np.zeros((1, len(columns), 8, 8))
marked[:, 1:] = given[..., 0]
figures.image_grid(
    np.stack(columns, axis=1) / 16,
    "Six completions of a quarter, and the one guess without latents\nblue: what is given",
    column_labels=["image", "given", "no z", *(f"z {i + 1}" for i in range(6))],
    marked=marked,
    column_breaks=(2, 3),
)

# %% [markdown]
# Without latents there is one grey compromise; with them each draw commits itself to one digit, and another $z$ to another one. The numbers above say the same: the rest of the
# image is more probable under a model whose pixels can agree with each other. (Part of that gap is the likelihood: a binomial is too narrow for a pixel of which one does not know whether it is ink
# or paper, and a mixture over z is what widens it.) `configs/quadrants.py` trains it longer, and `configs/papers/` has the paper's task on MNIST.
#
# ## A latent that is a choice
#
# Let $z$ be one-hot: a class out of $K$. Sampling it is `argmax(logits + Gumbel noise)` (the Gumbel-max trick), and an argmax is flat: its derivative is 0 almost everywhere. The
# relaxation replaces it by a softmax at a temperature $T$:
#
# $$y = \mathrm{softmax}\big((\text{logits} + g)/T\big),\qquad g_k \sim \text{Gumbel}(0, 1).$$
#
# As $T \to 0$, $y$ becomes one-hot; as $T$ grows, it moves to the centre of the simplex and hardly varies. Two facts to check, for the probabilities (.6, .3, .1):
# at *every* temperature the largest entry of $y$ is class $k$ with probability $\text{softmax}(\text{logits})_k$ (Maddison et al. 2017, Proposition 1); but
# the *mean* of $y$ is that probability only in the limit $T \to 0$. There the bias comes from.

# %%
probabilities = np.array([0.6, 0.3, 0.1])
logits = jnp.log(jnp.asarray(probabilities, jnp.float32))
temperatures = (0.1, 0.5, 1.0, 5.0)
corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
keys = jax.random.split(jax.random.key(0), 20_000)

figure, panels = plt.subplots(1, 4, figsize=(11, 3.2))
print("temperature   largest entry is class 0, 1, 2      mean of y")
for axes, temperature in zip(panels, temperatures, strict=True):
    relaxed = Categorical(logits).relaxed(temperature)
    ys = np.exp(np.asarray(jax.vmap(relaxed.sample)(keys)))
    share = np.bincount(np.argmax(ys, axis=1), minlength=3) / len(ys)
    print(f"{temperature:11}   {np.round(share, 3)}           {np.round(ys.mean(axis=0), 3)}")
    assert np.all(np.abs(share - probabilities) < 4 * np.sqrt(0.25 / len(ys)))
    axes.fill(*corners.T, facecolor="none", edgecolor="0.6")
    axes.scatter(*(ys[:1500] @ corners).T, s=4, alpha=0.35, linewidths=0, color="C0")
    axes.plot(*(probabilities @ corners), "x", color="black", markersize=9)
    axes.plot(*(ys.mean(axis=0) @ corners), "o", color="C1", markersize=7)
    for k, corner in enumerate(corners):
        axes.text(*(corner * 1.2 - (0.1, 0.08)), f"class {k}", fontsize=9, ha="center", va="center")
    axes.set(title=f"T = {temperature:g}", aspect="equal", xlim=(-0.25, 1.25), ylim=(-0.15, 1.05))
    axes.set_axis_off()
figure.suptitle(
    "Relaxed samples; cross: the probabilities, orange: the mean of the samples", fontsize=10
)
plt.show()

# %% [markdown]
# ## What the relaxation costs: bias and variance, with exact enumeration as the judge
#
# We take a model so small that its ELBO is a finite sum: two variables of four classes, 16 states. Then $\mathbb{E}_{q(z|x)}[\log p(x|z)] - \mathrm{KL}$ and its gradient can be computed
# *exactly*, by visiting all states. First it is trained a little, so that its gradient is neither large nor zero.

# %%
small = vae_jax.make_vae_for(
    digits,
    posterior="categorical",
    prior="uniform_categorical",
    latent_dim=2,
    num_classes=4,
    hidden=(32,),
)
params = vae_jax.fit(small, digits, "concrete", num_epochs=17, num_samples=20, silent=True).params
batch = vae_jax.to_model_examples(
    digits, vae_jax.key(0), jax.tree.map(lambda leaf: leaf[:20], digits.train)
)
states = jnp.array(
    [np.eye(4)[list(each)] for each in itertools.product(range(4), repeat=2)], jnp.float32
)


def exact_elbo(encoder):
    """Return the batch mean of the ELBO in nats, summed over all 16 states."""

    def of_one(x):
        q = small.encode(params | {"encoder": encoder}, x)
        log_q = jax.vmap(q.log_prob)(states)
        log_likelihood = jax.vmap(lambda z: small.decode(params, z).log_prob(x))(states)
        return jnp.sum(jnp.exp(log_q) * log_likelihood) - kl_divergence(q, small.prior(params))

    return jnp.mean(jax.vmap(of_one)(batch.x))


value, gradient = jax.jit(jax.value_and_grad(exact_elbo))(params["encoder"])
exact = np.asarray(ravel_pytree(gradient)[0], np.float64)
print(
    f"exact ELBO {value:.3f} nats; norm of its gradient in the {len(exact):,} encoder parameters {np.linalg.norm(exact):.3f}"
)

# %% [markdown]
# Now the estimators, each an objective of the library; we look at their gradients in the encoder, for this one batch, over 400 independent draws of the noise:
#
# * the **relaxed** objective, at several temperatures: gradients flow through $y$;
# * **straight-through** (Jang et al. 2017, Section 2.2): the decoder sees the one-hot vector, the gradient is that of $y$;
# * **leave-one-out** (`leave_one_out`, with two samples): scores, without bias, no temperature; and **plain scores**, $\log p(x|z)\,\nabla\log q(z|x)$, as `score_function` is before
#   its baseline has learned anything.
#
# Error of a gradient = bias² + variance, both as multiples of the squared norm of the exact gradient. (The bias is of a mean over finitely many draws, whose noise is subtracted.)

# %%
objectives = {
    "relaxed": vae_jax.make_objective("concrete", min_temperature=1e-3),
    "straight-through": vae_jax.make_objective(
        "concrete", min_temperature=1e-3, straight_through=True
    ),
    "leave-one-out, 2 samples": vae_jax.make_objective(
        "elbo", estimator="leave_one_out", num_samples=2
    ),
    "scores": vae_jax.make_objective("elbo", estimator="score_function"),
}
GROUPS, GROUP_SIZE = 8, 50
oracle = evaluation.GradientMoments(
    np.tile(exact, (GROUPS, 1)), np.zeros((GROUPS, len(exact))), GROUP_SIZE
)
chosen = {"encoder": jnp.arange(len(exact))}
temperatures = np.array([0.1, 0.2, 0.35, 0.6, 1.0, 2.0, 4.0])
group_keys = jax.random.split(vae_jax.key(3), (GROUPS, GROUP_SIZE))


def make_moments(objective):
    own = objective.init(vae_jax.key(4), small, batch)

    def negative_bound(key, blocks, temperature):
        joined = {"vae": params | blocks, "objective": own}
        hparams = objective.hparams | {"temperature": temperature}
        return -objective.loss(key, small, joined, hparams, batch, 0)[0]

    group = evaluation.make_group_moments(negative_bound, chosen, at_once=GROUP_SIZE)

    def moments(temperature):
        blocks = {"encoder": params["encoder"]}
        each = [group(keys, blocks, temperature)["encoder"] for keys in group_keys]
        return evaluation.join_groups(each, GROUP_SIZE)

    return moments


def bias_and_variance(moments):
    bias = evaluation.relative_squared_bias(moments, oracle)
    variance = evaluation.mean_variance(moments)
    scale = len(exact) / np.sum(exact**2)
    return bias.mean, bias.standard_error, variance.mean * scale


results = {}
for name, objective in objectives.items():
    moments = make_moments(objective)
    has_temperature = "temperature" in objective.hparams
    results[name] = np.array(
        [bias_and_variance(moments(T)) for T in (temperatures if has_temperature else [1.0])]
    )
    for T, (bias, error, variance) in zip(temperatures, results[name], strict=False):
        at = f"T = {T:4}" if has_temperature else ""
        print(f"{name:25} {at:9} bias² {bias:8.4f} ± {error:.4f}   variance {variance:8.3f}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), sharex=True)
for name, color in (("relaxed", "C0"), ("straight-through", "C1")):
    bias, error, variance = results[name].T
    left.errorbar(
        temperatures,
        bias,
        2 * error,
        fmt="o-",
        capsize=3,
        color=color,
        label=name,
    )
    right.plot(temperatures, variance, "o-", color=color, label=name)
for name, color in (("leave-one-out, 2 samples", "C2"), ("scores", "C3")):
    right.axhline(results[name][0, 2], color=color, linestyle="--", label=f"{name} (no bias)")
left.set(title="Bias grows with the temperature", ylabel="bias² / |exact gradient|²")
left.axhline(0, color="0.6", linewidth=1)
right.set(title="Variance falls with it", ylabel="variance / |exact gradient|²", yscale="log")
for axes in (left, right):
    axes.set(xscale="log", xlabel="temperature T")
    axes.set_xticks(temperatures, [f"{T:g}" for T in temperatures])
    axes.minorticks_off()
    axes.legend(fontsize=8.5)
plt.show()

# %% [markdown]
# That is the trade: a low temperature gives nearly the right gradient with much noise, a high one a calm gradient of something else. One therefore *anneals*: begin warm, end cool
# (Jang et al. 2017 take $T = \max(0.5, e^{-rt})$ in step $t$; here `temperature_decay` and `min_temperature`). Straight-through is more biased than the relaxation up to $T = 1$, though not above, and noisier throughout. The estimators by scores have none at all:
# plain scores pay for it with a hundred times the noise or more, leave-one-out with no more than a relaxation at a temperature of about .4.
#
# ## Training with it
#
# Eight variables of ten classes on all digits. The relaxed objective has a trap: its own value is *not* a bound on $\log p(x)$ of the discrete model, because the decoder was shown values that
# it will never meet. The library therefore reports two numbers: `relaxed_elbo`, and `elbo`, measured with discrete samples. The second one is the bound. The temperature is a traced number, so
# that six models, each with its own, train in one program.

# %%
discrete = vae_jax.make_vae_for(
    digits,
    posterior="categorical",
    prior="uniform_categorical",
    latent_dim=8,
    num_classes=10,
    hidden=(128,),
)
temperatures = np.array([0.1, 0.3, 0.5, 1.0, 2.0, 4.0])
concrete = vae_jax.make_objective("concrete", beta=2.0)
fitted = vae_jax.fit_members(
    discrete,
    digits,
    concrete,
    sweep={"temperature": temperatures},
    num_epochs=67,
    num_samples=20,
    silent=True,
)
choosers = [each.model for each in fitted]
last = [each.history["train"] for each in fitted]
metrics = {name: [each[name][-1] for each in last] for name in ("relaxed_elbo", "elbo")}
test_elbos = [np.mean(model.elbo(x, 20)) for model in choosers]
print("   T   training: relaxed value     ELBO    test ELBO")
for i, T in enumerate(temperatures):
    print(
        f"{T:4} {metrics['relaxed_elbo'][i]:23.2f} {metrics['elbo'][i]:8.2f} {test_elbos[i]:12.2f}"
    )

figure, axes = plt.subplots(figsize=(6, 3.6))
axes.plot(temperatures, metrics["relaxed_elbo"], "o:", label="relaxed value")
axes.plot(temperatures, metrics["elbo"], "o-", label="ELBO: discrete samples")
axes.set(xscale="log", xlabel="temperature T of the training", ylabel="nats per training example")
axes.set_xticks(temperatures, [f"{T:g}" for T in temperatures])
axes.minorticks_off()
axes.set_title("The relaxed value promises what the discrete model does not keep")
axes.legend()
plt.show()

# %% [markdown]
# What does a choice mean? Take the code of a test digit and let one of its eight variables take each of the ten classes: here the four variables that change the picture most.

# %%
chooser = choosers[int(np.argmax(test_elbos))]
q = discrete.encode(chooser.params, jnp.asarray(x[25], jnp.float32) / 16)
code = jax.nn.one_hot(jnp.argmax(q.logits, axis=-1), 10)
codes = jnp.stack(
    [jnp.stack([code.at[j].set(jnp.eye(10)[k]) for k in range(10)]) for j in range(8)]
)
means = np.asarray(jax.vmap(jax.vmap(lambda z: discrete.decode(chooser.params, z).mean))(codes))
order = np.argsort(-np.var(means, axis=1).sum(axis=(1, 2, 3)))[:4]
figures.image_grid(
    means[order],
    "One variable takes each of its ten classes\ntinted: the digit's own class",
    [f"variable {j}" for j in order],
    [f"class {k}" for k in range(10)],
    marked=np.asarray(code)[order][:, :, None, None],
)

# %% [markdown]
# No single choice is the digit: each changes some strokes a little, and the digit is all eight together. Nothing asked a variable to stand for a class that *we* would name.
#
# **Sources.** Sohn, Lee & Yan (2015), *Learning Structured Output Representation using Deep Conditional Generative Models*; Kingma & Welling (2014), *Auto-Encoding Variational Bayes*; Jang, Gu & Poole (2017), *Categorical
# Reparameterization with Gumbel-Softmax*; Maddison, Mnih & Teh (2017), *The Concrete Distribution*; Mnih & Gregor (2014), *Neural Variational Inference and Learning in Belief Networks*; Mnih & Rezende (2016),
# *Variational Inference for Monte Carlo Objectives*.
