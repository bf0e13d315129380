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
# # Your data: a table with holes, a folder of images
#
# From an array to a model that is used: choose a likelihood and a posterior, train, read what the numbers say, fill in what is missing, find what is odd, save, and load
# somewhere else. Each use is set against the simple method that one would try first, and the simple method sometimes wins.
#
# Numbers are nats per example, larger ELBO is better; `nll` is -log p(x). It runs on a CPU in one to two minutes. (The table needs pandas:
# `pip install 'vae_jax[tables]'`; Colab has it.)

# %%
from collections import Counter
from pathlib import Path
import tempfile

import cv2
import jax
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.metrics import roc_auc_score

import vae_jax
from vae_jax import evaluation, figures

plt.show()  # from here on, figures that are not pyplot's are shown too

folder = Path(tempfile.mkdtemp())  # of all that is written here

# %% [markdown]
# ## A table with holes
#
# scikit-learn's breast cancer table: 569 rows, 30 measurements of cell nuclei and a diagnosis. We hide every fifth cell at random, keep the truth aside, and say which rows are for training, validation and test.

# %%
source = load_breast_cancer(as_frame=True)
truth = source.data.copy()
truth["diagnosis"] = source.target_names[source.target]
generator = np.random.default_rng(0)
split = generator.permutation(np.repeat(["train", "validation", "test"], [399, 57, 113]))
hidden = generator.random(truth.shape) < 0.2
table = truth.mask(hidden)
table.iloc[:4, [0, 1, 2, 3, -1]]

# %% [markdown]
# `from_arrays` takes the DataFrame as it is. An empty cell is a *missing value*: it is left out of the likelihood, $\log p(x_{\text{observed}}|z)$ sums over what is there. Each column gets a kind, which
# decides its likelihood; name the kinds yourself (`columns="age=count,..."`) where the guess is wrong. `positive` columns are log-normal: their logarithm is standardized and Gaussian.

# %%
data = vae_jax.from_arrays(table, name="breast cancer, 20% hidden", split=split)
print(data.protocol)
print(dict(Counter(column.kind for column in data.columns)))
print([(column.name, column.kind) for column in data.columns][::6])

# %% [markdown]
# ### Choosing the likelihood
#
# $\log p(x)$ is in the units of the file under every likelihood, so that models can be compared by it, on the *validation* rows: the test rows are for the end. We compare the default (one sigma per
# column) with a sigma per value that depends on z: the spread of a measurement may depend on what kind of row it is.

# %%
per_value = dict.fromkeys(("real", "positive"), "gaussian_scale_per_value")
choices = {
    "sigma per column": {},
    "sigma per value": {"likelihood": per_value},
}
validation = table[split == "validation"]
fits, log_likelihoods = {}, {}
for name, options in choices.items():
    vae = vae_jax.make_vae_for(data, latent_dim=8, hidden=(100,), **options)
    fits[name] = vae_jax.fit(vae, data, num_epochs=250, learning_rate=3e-3, patience=6, silent=True)
    bounds = fits[name].model.bounds(validation)
    log_likelihoods[name] = np.mean(bounds["log_likelihood"])
    print(
        f"{name:16} validation: log p(x) {log_likelihoods[name]:6.2f}, ELBO"
        f" {np.mean(bounds['elbo']):6.2f}; {fits[name].numbers['step']} steps"
    )
best = max(log_likelihoods, key=log_likelihoods.get)
fitted, model = fits[best], fits[best].model
print(f"chosen: {best}")

# %% [markdown]
# ### Reading the report
#
# `fitted.numbers` is the table that `fit` prints (here `silent=True` kept it quiet), of the test rows. Look at three things:
#
# * **nll against ELBO**: their difference is at least the gap $\mathrm{KL}(q(z|x)\,\|\,p(z|x))$ that importance sampling could close. Several nats mean a posterior that fits badly.
# * **active units**: latents that vary over rows. Fewer than `latent_dim`: more would not help.
# * **the curves**: where the validation ELBO falls while the training ELBO rises, the model overfits; `patience` stopped there and kept the best.

# %%
numbers = fitted.numbers
print({name: round(value, 2) for name, value in numbers.items()})
print(
    f"nll below -ELBO by {-numbers['elbo'] - numbers['nll']:.2f} nats; {numbers['active_units']} of 8 latents in use"
)
history = {
    part: {name: values if name == "step" else values[:, None] for name, values in curve.items()}
    for part, curve in fitted.history.items()
}
figures.training_curves(history, "Training and validation, breast cancer with holes")

# %% [markdown]
# ### Filling in
#
# `impute` gives the mean of what is missing given what is there, $\mathbb{E}[x_{\text{missing}}|x_{\text{observed}}]$, by importance sampling (Mattei & Frellsen 2019, Section 3.3). The baselines are the column mean, and
# scikit-learn's `IterativeImputer`: a ridge regression of each column on all others, in rounds. All of them saw the training rows with holes only; errors are of the hidden cells of the *test* rows, in units of the column's standard
# deviation. We hide from 10% to 70% of the test cells.

# %%
is_test = split == "test"
numeric = source.data.columns
known = truth.loc[is_test].reset_index(drop=True)
spread = truth.loc[split == "train", numeric].std()
iterative = IterativeImputer(max_iter=20, random_state=0).fit(table.loc[split == "train", numeric])
means = table.loc[split == "train", numeric].mean()
shares = (0.1, 0.3, 0.5, 0.7)
errors = {"column mean": [], "IterativeImputer": [], "VAE": []}
for share in shares:
    mask = np.random.default_rng(1).random(known.shape) < share
    holes = known.mask(mask)
    filled = {
        "column mean": holes[numeric].fillna(means),
        "IterativeImputer": pd.DataFrame(iterative.transform(holes[numeric]), columns=numeric),
        "VAE": model.impute(holes, num_samples=200),
    }
    for name, each in filled.items():
        gaps = ((each[numeric] - known[numeric]) / spread).to_numpy(float)[mask[:, :30]]
        errors[name].append(np.sqrt(np.mean(gaps**2)))
    right = np.mean((filled["VAE"]["diagnosis"] == known["diagnosis"])[mask[:, 30]])
    print(
        f"{share:.0%} hidden: "
        + ", ".join(f"{name} {each[-1]:.3f}" for name, each in errors.items())
        + f"; hidden diagnoses found by the VAE: {right:.0%}"
    )

figure, axes = plt.subplots(figsize=(6, 3.6))
for (name, each), color in zip(errors.items(), ("0.5", "C1", "C0"), strict=True):
    axes.plot(shares, each, "o-", color=color, label=name)
axes.set(
    xlabel="share of test cells hidden",
    ylabel="root mean squared error, standard deviations",
    ylim=(0, 1.2),
)
axes.set_title("Error of the filled-in cells")
axes.legend()
plt.show()

# %% [markdown]
# Both are far better than the column mean, and neither is always the better one: the ridge regressions are ahead where more is hidden. Many columns here are nearly linear functions of each other (radius, perimeter,
# area), which is what they are made for, and the VAE has 399 rows to learn the same from. If point estimates of such columns are all that you want, the regression is simpler. What the VAE gives beside them: categories in the same model, and *draws* of $p(x_{\text{missing}}|x_{\text{observed}})$, which say how uncertain a filled-in value is.
# Check: an interval that holds 90% of the draws should hold the truth in 90% of the cells. (Where it holds fewer, the model is too sure: it knows the training rows better than the test rows. So many rows, so many parameters.)

# %%
mask = np.random.default_rng(2).random(known.shape) < 0.3
draws = model.impute(known.mask(mask), num_samples=200, draws=60)
values = np.stack([draw[numeric].to_numpy(float) for draw in draws])
for level in (0.5, 0.9):
    low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    inside = ((low <= known[numeric]) & (known[numeric] <= high)).to_numpy()[mask[:, :30]]
    print(f"{level:.0%} intervals hold the truth in {inside.mean():.1%} of {inside.size} cells")

# %% [markdown]
# ### Finding what is odd
#
# `score` gives $\log p(x)$ of each row and what each column adds to it. We spoil every test row once: one measurement is replaced by that of another row. The value itself is quite ordinary, only *its company* is wrong, so that a check of
# each column alone (the largest distance from the mean, in standard deviations) has little to go by. (Often the two values are nearly the same, and then no method can tell.)

# %%
spoiled, which = known.copy(), generator.integers(0, 30, len(known))
for row, column in enumerate(which):
    spoiled.iloc[row, column] = known.iloc[generator.integers(len(known)), column]
clean_score, spoiled_score = model.score(known, 200), model.score(spoiled, 200)
labels = np.repeat([0, 1], len(known))
surprise = -np.concatenate([clean_score["log_likelihood"], spoiled_score["log_likelihood"]])
center = truth.loc[split == "train", numeric].mean()
distance = pd.concat(
    [(abs(each[numeric] - center) / spread).max(axis=1) for each in (known, spoiled)]
)
print(
    f"area under the ROC curve: -log p(x) {roc_auc_score(labels, surprise):.3f}, largest distance {roc_auc_score(labels, distance):.3f}"
)

usual = np.stack([np.median(clean_score["contributions"][name]) for name in numeric])
contributions = np.stack([spoiled_score["contributions"][name] for name in numeric], axis=1)
ranked = np.argsort(contributions - usual, axis=1)
for top in (1, 3):
    found = np.mean([which[i] in ranked[i, :top] for i in range(len(known))])
    print(
        f"the spoiled column is among the {top} most surprising of its row in {found:.0%} (by chance {top / 30:.0%})"
    )

# %% [markdown]
# ### Save, and load elsewhere
#
# One file: weights, and all else as text; no code is in it. Another process needs `vae_jax` and the file, not this notebook and not the data.

# %%
import json

vae_jax.save_model(model, folder / "table.vae")
known.mask(mask).to_csv(folder / "new.csv", index=False)
program = """
import json, pandas, vae_jax
model = vae_jax.load_model("table.vae")
filled = model.impute(pandas.read_csv("new.csv"), num_samples=100)
print(json.dumps(filled["mean radius"].tolist()))
"""
done = subprocess.run(
    [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
)
there = json.loads(done.stdout.splitlines()[-1])
here = model.impute(pd.read_csv(folder / "new.csv"), num_samples=100)["mean radius"]
print(
    f"{(folder / 'table.vae').stat().st_size / 1e3:.0f} kB; the same numbers there: {np.allclose(there, here, rtol=1e-5)}"
)

# %% [markdown]
# ## A folder of images
#
# To have one, we write 1,000 of scikit-learn's digits as PNG files, enlarged to 16 x 16, in a subfolder for each digit. Yours may have any sizes: the shorter side is scaled to `size` and the middle kept.

# %%
digits = load_digits()
for i in range(1000):
    place = folder / "digits" / str(digits.target[i])
    place.mkdir(parents=True, exist_ok=True)
    enlarged = cv2.resize(digits.images[i] * (255 / 16), (16, 16), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(place / f"{i:04}.png"), np.rint(enlarged).astype(np.uint8))

images = vae_jax.load_dataset("images", path=str(folder / "digits"), size=16, grey=True)
images = images._replace(name="a folder of digits")
print(
    images.protocol,
    images.shape,
    f"{len(images.train.x)} / {len(images.validation.x)} / {len(images.test.x)} images",
)

# %% [markdown]
# ### Choosing the likelihood
#
# Pixels are integers 0 .. 255. A likelihood that is no density of such values is refused, with the remedy:

# %%
try:
    vae_jax.make_vae_for(images, likelihood="bernoulli")
except ValueError as error:
    print(error)

# %% [markdown]
# The data's own is a discretized logistic: a probability for each of the 256 values, so that bits per pixel have a meaning.

# %%
d = 256
vae = vae_jax.make_vae_for(images, latent_dim=12, hidden=(200,))
image_fit = vae_jax.fit(vae, images, num_epochs=200, silent=True)
image_model, nll = image_fit.model, image_fit.numbers["nll"]
print(f"test images: -log p(x) {nll:.1f} nats, {nll / d / np.log(2):.2f} bits per pixel")

# %% [markdown]
# ### Reading the reports
#
# **Is the number to be trusted?** -log p(x) by K importance samples is an upper bound that falls with K. Where it still falls at the end, or where a few weights do all the work (effective sample size near 1, Pareto k above 0.7), more samples are needed.

# %%
keys = vae_jax.evaluation_keys(vae_jax.key(0))
test = jax.device_get(vae_jax.to_model_examples(images, vae_jax.key(1), images.test))
weigh = evaluation.make_log_weights(image_model.vae, keys, 1000, chunk_size=20)
log_weights = vae_jax.map_examples(weigh, image_model.params, test, 50)["log_weights"]
sizes = [1, 3, 10, 30, 100, 300, 1000]
diagnosis = evaluation.diagnose(log_weights, sizes)
bound = -diagnosis["bound"].mean(axis=0)
print("K:            " + " ".join(f"{size:7}" for size in sizes))
print("-log p(x) <=  " + " ".join(f"{each:7.1f}" for each in bound))
print(
    f"effective sample size, median: {np.median(diagnosis['effective_sample_size']):.0f} of 1000;"
    f" Pareto k above 0.7 in {np.mean(diagnosis['pareto_k'] > 0.7):.0%} of the images"
)

# %% [markdown]
# Here the warning is on: a few samples do the work, so that the true -log p(x) lies somewhat below the last number of the row (it still falls by a nat from K = 100 to 1,000). Comparing models, measure all of them with the same K.
# (`evaluate --report=likelihood` goes on with annealed importance sampling.)
#
# ### Choosing the posterior
#
# The same row shows what another posterior could gain. At K = 1 stands -ELBO; the true -log p(x) is the last number or somewhat less. Their difference is the gap $\mathrm{KL}(q(z|x)\,\|\,p(z|x))$, here some eight nats of 805: with this decoder, no other
# $q(z|x)$ can raise the ELBO by more. The diagonal Gaussian is the default; `make_vae_for(images, posterior="full_gaussian")` lets the latents of one image be correlated, `posterior="inverse_autoregressive"` gives them a flow. Train
# both, and keep the one with the better ELBO on the *validation* images. (In the table's report the gap was five nats, of a log p(x) of about twenty: there it is worth more to try.)
#
# **What do the latents carry?** The variance of their posterior means over the test images, one by one; and what one sees: test images, their reconstructions, and draws from the model.

# %%
codes = image_model.encode(images.test.x)
active = evaluation.is_active(codes)
figures.kl_bars(
    {"": np.var(codes, axis=0)},
    {"": active},
    "variance of E[z|x] over images",
    "What each latent carries: 0 is nothing; the prior's variance is 1",
)

# %%
shown = images.test.x[:10].astype(np.float32) / 255
figures.image_grid(
    np.stack(
        [
            shown,
            image_model.reconstruct(images.test.x[:10]) / 255,
            image_model.sample(10, means=True) / 255,
        ]
    ),
    "Test images, their reconstructions, and new ones",
    ["image", "reconstruction", "drawn"],
)

# %% [markdown]
# ### What does not belong here?
#
# Spoil each test image by a bright 3 x 3 blot at a random place. `score` ranks the images, and the contribution of each pixel, $\mathbb{E}[\log p(x_i|z)]$ over $p(z|x)$, points to the place. The baseline knows mean and standard deviation of each pixel.

# %%
blotted = images.test.x.copy()
places = np.random.default_rng(3).integers(1, 12, (len(blotted), 2))
for image, (top, left) in zip(blotted, places, strict=True):
    image[top : top + 3, left : left + 3] = 255
scores = [image_model.score(each, 100) for each in (images.test.x, blotted)]
surprise = -np.concatenate([each["log_likelihood"] for each in scores])
labels = np.repeat([0, 1], len(blotted))
train = images.train.x.astype(np.float64)
mean, deviation = train.mean(axis=0), train.std(axis=0) + 1
squares = np.concatenate(
    [(((each - mean) / deviation) ** 2).sum(axis=(1, 2, 3)) for each in (images.test.x, blotted)]
)
print(
    f"area under the ROC curve: -log p(x) {roc_auc_score(labels, surprise):.3f}, baseline {roc_auc_score(labels, squares):.3f}"
)

contributions = scores[1]["contributions"][..., 0]
windows = np.lib.stride_tricks.sliding_window_view(contributions, (3, 3), axis=(1, 2)).sum(
    axis=(-1, -2)
)
found = np.stack(
    np.unravel_index(windows.reshape(len(windows), -1).argmin(axis=1), windows.shape[1:]), axis=1
)
print(
    f"the least probable 3 x 3 window lies within 1 pixel of the blot in {np.mean(np.abs(found - places).max(axis=1) <= 1):.0%}"
)

unlikely = -contributions[:10] / -contributions[:10].min(axis=(1, 2), keepdims=True)
figures.image_grid(
    np.stack([blotted[:10, ..., 0] / 255, unlikely]),
    "Spoiled images, and how improbable each pixel is\nlighter: less probable",
    ["image", "-log p(pixel)"],
)

# %% [markdown]
# `impute` fills in images too: NaN stands for a missing pixel. But train such a model with holes like those to come, as the table's was: `from_arrays(x, mask=...)` takes which pixels
# were observed. The encoder of a model that never saw a hole is shown zeros for what is missing, that is black paper, and believes them; no importance weights repair a $q(z|x)$ that looks in the wrong place.

# %%
vae_jax.save_model(image_model, folder / "images.vae")
again = vae_jax.load_model(folder / "images.vae")
same = np.array_equal(again.encode(images.test.x), codes)
print(
    f"{(folder / 'images.vae').stat().st_size / 1e3:.0f} kB; loaded again, it gives the same codes: {same}"
)

# %% [markdown]
# From here: `python -m experiments.train --config=configs/default.py --config.data.name=images --config.data.path=FOLDER` trains the same model with checkpoints, reports and pictures in a run's folder, and `experiments.impute`, `experiments.score`
# and `experiments.export` do from the command line what this notebook did.
#
# **Sources.** Kingma & Welling (2014), *Auto-Encoding Variational Bayes*; Burda et al. (2016), *Importance Weighted Autoencoders*; Mattei & Frellsen (2019), *MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets*; Vehtari et al. (2024),
# *Pareto Smoothed Importance Sampling*.
