"""No key of an evaluation serves two purposes: what is drawn is recorded where it is drawn."""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import encode
from experiments.support import measurement, plots
from experiments.support.assembly import Evaluation, Run
from experiments.support.sweeps import Member
from tests.evaluation.recording import make_recording_vae
from vae_jax import datasets, evaluation, training
from vae_jax.datasets import batches
from vae_jax.lookup import options_of
from vae_jax.objectives import make_elbo

NUM_EXAMPLES, NUM_SAMPLES = 10, 10


class Recorder:
    """The words of all keys that something was drawn with, by purpose."""

    def __init__(self):
        self.words = collections.defaultdict(list)
        self.purpose = ""

    def note(self, words):
        """Keep the words of one key, or of several."""
        self.words[self.purpose] += [bytes(each) for each in np.reshape(words, (-1, 2))]

    def binarize(self, key, x, maximum):
        """Stand in for `datasets.binarize`."""
        self.note(jax.random.key_data(key))
        return jnp.zeros(x.shape)


def make_run(vae):
    """Return a run of the model on the halves of the digits, with bits drawn dynamically."""
    data = datasets.load_dataset("digit_halves", binarization="dynamic")
    data = data._replace(test=jax.tree.map(lambda leaf: leaf[:NUM_EXAMPLES], data.test))
    # The programs ask these few things of a config.
    config = collections.namedtuple("Config", "vae objective")
    block = collections.namedtuple("Block", "conditional likelihood")
    return Run(
        config=config(block(False, "bernoulli"), {"name": "elbo"} | options_of(make_elbo)),
        dataset=data,
        vae=vae,
        objective=make_elbo(),
        init=None,
        train_steps=None,
        placement=None,
        members=[Member(0, {})],
        num_steps=1,
        steps_per_epoch=1,
        is_streamed=False,
        bits_dimensions=64,
    )


def record(keys, folder, monkeypatch):
    """Evaluate, draw and encode by these keys; return {purpose: words of keys}."""
    recorder = Recorder()
    monkeypatch.setattr(batches, "binarize", recorder.binarize)
    run = make_run(make_recording_vae(recorder.note))
    how = Evaluation(NUM_SAMPLES, keys, batch_size=5, chunk_size=5)

    recorder.purpose = "binarization"
    seen = {part: measurement.model_examples(run, how, part) for part in ("validation", "test")}
    test = seen["test"]

    def recorded(purpose, function, *arguments):
        recorder.purpose = purpose
        result = function(*arguments)
        jax.effects_barrier()
        return result

    indices, params = jnp.arange(NUM_EXAMPLES), jnp.zeros(1)
    terms = evaluation.over_examples(
        lambda params, index, example: evaluation.terms_of_example(
            keys.samples, run.vae, params, index, example, NUM_SAMPLES, 5
        )
    )
    recorded("samples", terms, params, indices, test)
    means = evaluation.over_examples(
        lambda params, index, example: evaluation.posterior_means(
            keys.posterior_means, run.vae.encode(params, *example)
        )
    )
    measured = recorded("posterior means", means, params, indices, test)
    # What the captions of the pictures say.
    names = ("log_likelihood", "elbo", "kl", "reconstruction")
    measured |= {name: np.zeros(NUM_EXAMPLES) for name in names}
    recorded("codes", encode.make_describe(run.vae, keys.codes), params, indices, test)
    failure = training.Failure(jnp.array([-1]), jnp.array([-1]))
    state = training.TrainState(0, {"vae": jnp.zeros((1, 1))}, (), (), (), (), failure)
    recorded("pictures", plots.draw_members, folder, run, how, state, test, [measured])
    return recorder.words


def shared(words):
    """Return the pairs of purposes that have a key in common."""
    return {
        pair
        for pair in itertools.combinations(words, 2)
        if set(words[pair[0]]) & set(words[pair[1]])
    }


@pytest.fixture
def key():
    """The key of an evaluation."""
    return jax.random.key(0)


def test_no_key_serves_two_purposes(key, tmp_path, monkeypatch):
    """All keys that two fields of two splits, ten samples of ten examples, posterior means, codes
    and pictures are drawn with."""
    words = record(evaluation.evaluation_keys(key), tmp_path, monkeypatch)
    assert len(set(words["binarization"])) == 4
    assert len(set(words["samples"])) == NUM_EXAMPLES * NUM_SAMPLES
    assert len(words["posterior means"]) == len(set(words["posterior means"])) == 100
    assert len(set(words["codes"])) == NUM_EXAMPLES
    # Some 48 reconstructions and 100 samples; none shares its key with another.
    assert len(set(words["pictures"])) == len(words["pictures"]) > NUM_EXAMPLES + 50
    assert not shared(words)


@pytest.mark.slow
def test_one_key_folded_and_split_would_serve_several(key, tmp_path, monkeypatch):
    """The former scheme: every purpose folds or splits the same key. Bits of the fields of split 3
    (the test set) were drawn with keys of samples of example 3, pictures with those of others."""
    same = evaluation.EvaluationKeys(*[key] * len(evaluation.EvaluationKeys._fields))
    words = record(same, tmp_path, monkeypatch)
    assert {("binarization", "samples"), ("samples", "pictures")} <= shared(words)


def test_a_split_key_is_a_folded_one(key):
    """Why one key must not be used both ways."""
    split = jax.random.split(key, 7)
    folded = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(7))
    np.testing.assert_array_equal(*map(jax.random.key_data, (split, folded)))


def test_an_evaluation_shares_no_key_with_a_run_of_the_same_seed():
    """Without a purpose folded in first, training's second key was the evaluation's, too."""
    root = jax.random.key(0)
    run, measured = training.run_keys(root), evaluation.evaluation_keys(root)
    words = {tuple(np.asarray(jax.random.key_data(key))) for key in (*run, *measured)}
    assert len(words) == len(run) + len(measured)
