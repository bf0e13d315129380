"""Examples that stay on the host: the same batches in the same order as on the device."""

import time

import jax
import numpy as np
import pytest

from vae_jax import datasets
from vae_jax.distributions import Masked

BATCH_SIZE, NUM_STEPS = 4, 13  # of 23 examples: epochs of five steps, the last one cut off


def some_data(kind):
    """Return 23 different examples, so that each batch tells which they are."""
    x = np.arange(23 * 6, dtype=np.float32).reshape(23, 2, 3)
    train = {
        "plain": datasets.Examples(x, np.arange(23, dtype=np.int32)),
        "masked": datasets.Examples(Masked(x, (x % 5 > 0).astype(np.uint8))),
        "fields": datasets.Examples({"a": x, "b": -x[:, 0]}),
    }[kind]
    maximum, binarization = 1.0, "none"
    return datasets.make_dataset(kind, train, train, train, maximum, binarization)


def batches_of(batches, keys, source_of):
    """Return the batch of each key and step."""

    @jax.jit
    def draw(source, key, step):
        epoch_source = batches.begin_epoch(source, key, step // batches.steps_per_epoch)
        return batches.batch(epoch_source, jax.random.fold_in(key, step), step)

    return [[draw(source_of(step), key, step) for key in keys] for step in range(NUM_STEPS)]


@pytest.mark.parametrize("kind", ["plain", "masked", "fields"])
def test_streamed_batches_are_those_of_the_device(kind):
    """Over three epochs, two keys and spans across the ends of epochs; and from the middle on.
    Oracle: `make_batches`. Mutants: the order of another epoch or of the other key; steps counted
    from the start of the epoch or of the run; an unstable or descending sort."""
    data, keys = some_data(kind), jax.random.split(jax.random.key(3), 2)
    plain = datasets.make_batches(data, BATCH_SIZE)
    streamed = datasets.make_streamed_batches(data, BATCH_SIZE)
    expected = batches_of(plain, keys, lambda step: data.train)
    for spans in ([(0, 3), (3, 7), (7, 11), (11, 13)], [(7, 11), (11, 13)]):
        chunks = list(datasets.stream(data, BATCH_SIZE, keys[::-1], spans))
        assert len({leaf.shape for chunk in chunks for leaf in jax.tree.leaves(chunk.keys)}) == 1
        assert {datasets.num_examples(chunk.examples) for chunk in chunks} == {2 * 4 * BATCH_SIZE}
        number = {step: i for i, span in enumerate(spans) for step in range(*span)}
        found = batches_of(streamed, keys, lambda step: chunks[number.get(step, 0)])  # noqa: B023
        for step in number:
            jax.tree.map(np.testing.assert_array_equal, found[step], expected[step])
    assert not np.array_equal(*(jax.tree.leaves(each)[0] for each in expected[0]))


def test_the_next_chunk_is_made_while_the_last_one_is_used():
    """One ahead and no more. Mutants: chunks made when they are asked for; all made at once."""
    data, made = some_data("plain"), []

    def put(chunk):
        made.append(int(chunk.first))
        return chunk

    spans = [(step, step + 1) for step in range(9)]
    chunks = datasets.stream(data, BATCH_SIZE, jax.random.split(jax.random.key(0), 1), spans, put)
    assert made == []
    assert int(next(chunks).first) == 0
    deadline = time.monotonic() + 20
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)  # in which more could be made
    assert made == [0, 1]
    assert [int(chunk.first) for chunk in chunks] == list(range(1, 9))


def test_what_a_chunk_takes_is_known_before_it_is_made():
    """Oracle: its arrays. Mutant: the labels forgotten."""
    data, keys = some_data("plain"), jax.random.split(jax.random.key(0), 2)
    (chunk,) = datasets.stream(data, BATCH_SIZE, keys, [(0, 3)])
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(chunk.examples))
    assert datasets.chunk_bytes(data, BATCH_SIZE, 3, 2) == size


def test_examples_in_place_of_a_chunk_are_refused():
    """Mutant: Examples has no attribute keys."""
    data = some_data("plain")
    with pytest.raises(ValueError, match="must be a Chunk, as `stream` yields them, got Examples"):
        datasets.make_streamed_batches(data, 4).begin_epoch(data.train, jax.random.key(0), 0)


def test_equal_words_keep_their_order_on_host_and_device(monkeypatch):
    """With words of two bits nearly all are ties. Mutant: a sort that is not stable."""
    few = lambda key, epoch, count: jax.random.bits(key, (count,)) >> 30  # noqa: E731
    monkeypatch.setattr(datasets.batches, "epoch_words", few)
    monkeypatch.setattr(datasets.streaming, "epoch_words", few)
    test_streamed_batches_are_those_of_the_device("plain")
