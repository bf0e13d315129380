"""A trained model in use: batched functions on numpy arrays, in the units of the data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
import dataclasses
import functools
from typing import Any
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.datasets import Dataset, examples_from, sums_of_columns, to_model_examples, to_user
from vae_jax.distributions import Masked
from vae_jax.evaluation import (
    evaluation_keys,
    make_impute,
    make_imputed_draws,
    make_score,
    map_examples,
    over_examples,
    posterior_deviations,
    posterior_means,
    terms_of_example,
    typical_code,
    values_of,
)
from vae_jax.fast import threefry
from vae_jax.lookup import check_seed, check_whole
from vae_jax.models import VAE, check_condition, check_fits, far_from_training, make_vae
from vae_jax.objectives import make_objective
from vae_jax.objectives.elbo import elbo
from vae_jax.objectives.importance import importance_weighted_bound
from vae_jax.progress import track_if_long

_MOST_SAMPLES = 10**7


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A trained VAE as functions of batches, in the units of the data that it was trained on.

    x is as in those data: an array with examples along the first axis, {field: array}, or what
    else `datasets.examples_from` takes. y, where the model is given one, is a label or condition
    per example. Results are numpy arrays with a row per example. They depend on `seed` and on the
    place of an example in x, but not on the batch. A function is compiled for the first batch of
    its size, of which there are few, and then kept.

    Every function raises ValueError for examples that are not like those of the training.
    """

    vae: VAE
    """Functions of one example as the model sees it: `vae.encode(params, x).mean`, ..."""
    params: Any
    """Of `vae`."""
    dataset: Dataset
    """The data set, or its outline: no example of it is read."""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What is known of the training, such as "config", "versions" and "numbers"."""
    objective: Mapping[str, Any] | None = None
    """What `make_objective` is called with, where the objective trained a classifier q(y|x)."""
    objective_params: Any = None
    """Of that classifier."""
    batch_size: int = 100
    """Examples computed at once, at most."""
    chunk_size: int = 20
    """Samples of z per example computed at once, at most."""
    progress: Callable[[str, int], Callable[[Sequence], Iterable]] = track_if_long
    """progress(description, batch_size) -> a function that wraps the sequence of batches."""
    _compiled: dict = dataclasses.field(default_factory=dict, repr=False)
    """What was compiled, by its name: kept by `dataclasses.replace(model, params=...)`."""

    @functools.cached_property
    def classifier(self) -> Callable[..., Any] | None:
        """classifier(vae, objective_params, x) -> log q(y|x) of every class, of one example."""
        return self.objective and make_objective(**self.objective).classify

    def encode(self, x: Any, y: Any = None, *, std: bool = False, seed: int = 0) -> Any:
        """Return the means of q(z|x), (examples, latents); with `std`, (means, deviations).

        Of a model of two layers, means and deviations are pairs of arrays, the lower layer first.

        Args:
          x: the examples.
          y: their labels or conditions, where the model is given them.
          std: whether the standard deviations of q(z|x) are returned beside the means.
          seed: of bits that are drawn from grey values, and of samples where q(z|x) has no mean.
        """
        means, deviations = self._apply("encode", _make_encode, self._examples(x, y, seed), seed)
        return (means, deviations) if std else means

    def reconstruct(self, x: Any, y: Any = None, *, seed: int = 0) -> Any:
        """Return the mean of p(x|z), where z is the mean of a Gaussian q(z|x), else a sample.

        Args:
          x, y, seed: as of `encode`.
        """
        means = self._apply("reconstruct", _make_reconstruct, self._examples(x, y, seed), seed)
        return to_user(self.dataset, means)

    def sample(self, num: int, y: Any = None, *, means: bool = False, seed: int = 0) -> Any:
        """Return `num` draws of x: z from the prior, then x from p(x|z).

        The first draws do not depend on `num`.

        Args:
          num: how many.
          y: where the model is given one: a label, or a label or condition per draw; None: all
            labels in turn.
          means: whether to return the means of p(x|z) in the place of draws from it.
          seed: of the draws.
        """
        check_whole(1, 2**31 - 1, num=num)
        ys = self._conditions(num, y, seed)
        function = self._once("sample", _make_sample)
        drawn = self._map("sample", function, (self.params, _key(seed)), ys)
        return to_user(self.dataset, drawn["mean" if means else "x"])

    def log_likelihood(
        self, x: Any, num_samples: int = 100, *, y: Any = None, seed: int = 0
    ) -> np.ndarray:
        """Return log p(x) of each example in nats, by importance samples of q(z|x).

        log((1/K) sum_k p(x, z_k) / q(z_k|x)), Eq. (8) of Burda et al. (2016): a lower bound in
        expectation, which grows with K. Of an example with missing entries, that of the observed
        ones.

        Args:
          x, y, seed: as of `encode`.
          num_samples: K.
        """
        return self.bounds(x, num_samples, y=y, seed=seed)["log_likelihood"]

    def elbo(self, x: Any, num_samples: int = 100, *, y: Any = None, seed: int = 0) -> np.ndarray:
        """Return E_q[log p(x|z)] - KL(q(z|x) || p(z)) of each example in nats, larger is better.

        Args:
          x, y, seed: as of `encode`.
          num_samples: samples of z per example.
        """
        return self.bounds(x, num_samples, y=y, seed=seed)["elbo"]

    def bounds(
        self, x: Any, num_samples: int = 100, *, y: Any = None, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """Return {"log_likelihood", "elbo"} of each example in nats, by the same samples.

        Args:
          x, num_samples, y, seed: as of `log_likelihood`.
        """
        check_whole(1, _MOST_SAMPLES, num_samples=num_samples)

        def make(vae):
            return _make_bounds(vae, num_samples, self.chunk_size)

        return self._apply(("bounds", num_samples), make, self._examples(x, y, seed), seed)

    def score(
        self, x: Any, num_samples: int = 100, *, y: Any = None, seed: int = 0
    ) -> dict[str, Any]:
        """Return log p(x) of each example and what each entry of x adds to it, in nats.

        `log_likelihood`, as of that function; its `standard_error` over the samples of z; and
        `contributions`, E[log p(x_i|z)] over p(z|x) for each entry, an array like x, {field: such
        an array} or {column: one number per row}: small ones are surprising given all that is
        known of the example. Their sum is log p(x) + KL(p(z|x) || p(z)). A missing entry adds 0.
        They are {} of a likelihood whose entries are not independent.

        Args:
          x, num_samples, y, seed: as of `log_likelihood`.
        """
        check_whole(1, _MOST_SAMPLES, num_samples=num_samples)

        def make(vae):
            return make_score(vae, num_samples, self.chunk_size)

        scores = self._apply(("score", num_samples), make, self._examples(x, y, seed), seed)
        if self.dataset.columns is not None:
            scores["contributions"] = sums_of_columns(self.dataset, scores["contributions"])
        return scores

    def impute(
        self, x: Any, num_samples: int = 100, *, draws: int = 0, y: Any = None, seed: int = 0
    ) -> Any:
        """Return x with its missing entries, which are NaN, filled in; the others are as given.

        Without `draws`, by E[x_missing | x_observed], self-normalized importance sampling with the
        proposal q(z|x_observed). A model of whole examples encodes zeros for missing entries, with
        a warning; the importance weights correct for that, by more samples the better.

        Args:
          x: the examples; NaN where an entry is missing.
          num_samples: samples of z per example.
          draws: draw so many values of p(x_missing | x_observed) instead, by importance
            resampling; the result has a first axis more, over the draws, or is a list of tables.
          y, seed: as of `encode`.
        """
        check_whole(1, _MOST_SAMPLES, num_samples=num_samples)
        check_whole(0, 100_000, draws=draws)
        masked = self._with_mask()
        if masked is not self:
            warnings.warn(
                "this model was trained on whole examples: its encoder is shown zeros for missing "
                "entries. If what is filled in looks wrong, train with a mask of such holes",
                stacklevel=2,
            )
        examples = masked._examples(x, y, seed)

        def make(vae):
            if draws:
                return make_imputed_draws(vae, draws, num_samples, self.chunk_size)
            return make_impute(vae, num_samples, self.chunk_size)

        filled = masked._apply(("impute", draws, num_samples), make, examples, seed)
        if not draws:
            return _with_cells_of(x, masked._fill(examples.x, filled))
        each = [
            _with_cells_of(
                x, masked._fill(examples.x, jax.tree.map(lambda leaf, i=i: leaf[:, i], filled))
            )
            for i in range(draws)
        ]
        if self.dataset.columns is not None:
            return each
        return jax.tree.map(lambda *parts: np.stack(parts), *each)

    def classify(self, x: Any, *, seed: int = 0) -> np.ndarray:
        """Return q(y|x), the probability of each class, (examples, classes).

        Args:
          x, seed: as of `encode`.

        Raises:
          ValueError: a model without a classifier.
        """
        if self.classifier is None:
            raise ValueError(
                "this model has no classifier q(y|x): objective.name=semi_supervised trains one"
            )
        return self._probabilities(examples_from(self.dataset, x), seed)

    def _probabilities(self, examples, seed):
        def make(vae):
            def classify(given, index, example):
                return jnp.exp(self.classifier(vae, given, example.x))

            return over_examples(classify)

        seen = self._seen(examples._replace(y=None), evaluation_keys(_key(seed)))
        return self._map("classify", self._once("classify", make), self.objective_params, seen)

    def _examples(self, x, y, seed):
        """Return examples as the data set stores them, of which the model can be given each."""
        examples = examples_from(self.dataset, x, None if y is None else np.asarray(y))
        check_fits(self.vae, self.dataset, examples, "x", self.classifier is not None)
        for line in far_from_training(self.dataset, examples, "x"):
            warnings.warn(line, stacklevel=4)
        if self.classifier is None or (examples.y is not None and examples.y.min() >= 0):
            return examples
        # The most probable class stands for a label that is missing.
        best = np.argmax(self._probabilities(examples, seed), axis=1)
        y = best if examples.y is None else np.where(examples.y < 0, best, examples.y)
        return examples._replace(y=y)

    def _apply(self, name, make, examples, seed):
        """Return what make(vae)((params, keys), indices, examples) gives of stored examples."""
        keys = evaluation_keys(_key(seed))
        given = self.params, keys
        return self._map(name, self._once(name, make), given, self._seen(examples, keys))

    def _seen(self, examples, keys):
        # As of the programs' test set: its examples thus give the numbers of its summary.
        key = jax.random.fold_in(keys.binarization, Dataset._fields.index("test"))
        return jax.device_get(to_model_examples(self.dataset, key, examples))

    def _conditions(self, num, y, seed):
        condition = self.vae.condition
        if condition is None and y is not None:
            raise ValueError("this model is given no y")
        if y is None and isinstance(condition, int):
            y = np.arange(num) % condition
        if y is None:
            if condition is not None:
                raise ValueError(f"this model is given y, of shape {condition}: sample needs it")
            return np.zeros(num, np.int32)  # not used
        if self.dataset.given is not None:
            return self._given_parts(num, y, seed)
        y = np.asarray(y)
        y = np.broadcast_to(y, (num, *y.shape[1:])) if y.ndim < 1 or len(y) == 1 else y
        check_condition(y, condition, "sample")
        if len(y) != num:
            raise ValueError(f"y must be one, or one per draw, {num}; got {len(y)}")
        return y

    def _given_parts(self, num, images, seed):
        # Of a model of the rest of an image: whole images, of which it is given a part.
        examples = examples_from(self.dataset, images)
        seen = to_model_examples(self.dataset, _key(seed), examples)
        return np.resize(seen.y, (num, *seen.y.shape[1:]))

    def _with_mask(self):
        """Return the model of examples with missing entries; the parameters are the same."""
        if self.dataset.given is not None:
            raise ValueError("a model of the rest of an image does not impute: reconstruct does")
        x = self.dataset.train.x
        masked = jax.tree.map(_with_a_mask, x, is_leaf=_is_masked)
        if jax.tree.structure(masked) == jax.tree.structure(x):
            return self

        def make(vae):
            every = True if self.dataset.is_plain else dict.fromkeys(self.dataset.fields, True)
            return make_vae(**{**vae.arguments, "masked": every})

        dataset = self.dataset._replace(train=self.dataset.train._replace(x=masked))
        return dataclasses.replace(self, vae=self._once("masked", make), dataset=dataset)

    def _fill(self, stored, filled):
        """Return stored examples in their units, with missing entries as the model predicts."""

        def fill(observed, maximum, predicted):
            return np.where(np.asarray(observed.mask) != 0, observed.values / maximum, predicted)

        whole = jax.tree.map(fill, stored, self.dataset.maximum, filled, is_leaf=_is_masked)
        return to_user(self.dataset, whole)

    def _once(self, name, make):
        """Return make(vae), made at the first call by this name for this VAE."""
        key = name, self.chunk_size, self.vae.encode, self.vae.decode
        if key not in self._compiled:
            self._compiled[key] = make(self.vae)
        return self._compiled[key]

    def _map(self, name, function, given, examples):
        # Few sizes of batches: powers of two up to the largest, each compiled once.
        count = len(jax.tree.leaves(examples)[0])
        size = min(self.batch_size, 2 ** (count - 1).bit_length())
        rows = np.minimum(np.arange(max(count, size)), count - 1)
        padded = jax.tree.map(lambda leaf: leaf[rows], examples) if size > count else examples
        progress = self.progress(name if isinstance(name, str) else name[0], size)
        results = map_examples(function, given, padded, size, progress)
        return jax.tree.map(lambda leaf: leaf[:count], results)


def _with_cells_of(given, filled):
    # A DataFrame keeps the cells that it has, digit by digit, and the index of its rows.
    if not hasattr(given, "notna") or not hasattr(filled, "set_axis"):
        return filled
    own = given[filled.columns]
    return own.where(own.notna(), filled.set_axis(own.index))


def _is_masked(node):
    return isinstance(node, Masked)


def _with_a_mask(node):
    return node if isinstance(node, Masked) else Masked(node, node)


def _key(seed):
    check_seed(seed=seed)
    return threefry.key(seed)


def _make_encode(vae):
    def encode(given, index, example):
        params, keys = given
        q = vae.encode(params, *example)
        means = posterior_means(keys.posterior_means, q)
        means = means["posterior_mean"] if len(means) == 1 else tuple(means.values())
        return means, posterior_deviations(keys.posterior_means, q)

    return over_examples(encode)


def _make_reconstruct(vae):
    def reconstruct(given, index, example):
        params, keys = given
        x, y = example
        z = typical_code(jax.random.fold_in(keys.codes, index), vae.encode(params, x, y))
        return vae.decode(params, z, y).mean

    return over_examples(reconstruct)


def _make_sample(vae):
    def sample(given, index, y):
        params, key = given
        key_z, key_x = jax.random.split(jax.random.fold_in(key, index))
        y = y if vae.condition is not None else None
        p = vae.decode(params, vae.prior(params, y).sample(key_z), y)
        return {"mean": p.mean, "x": values_of(p.sample(key_x))}

    return over_examples(sample)


def _make_bounds(vae, num_samples, chunk_size):
    def bounds(given, index, example):
        params, keys = given
        terms = terms_of_example(keys.samples, vae, params, index, example, num_samples, chunk_size)
        return {
            "log_likelihood": importance_weighted_bound(terms.log_weights),
            "elbo": elbo(terms),
        }

    return over_examples(bounds)
