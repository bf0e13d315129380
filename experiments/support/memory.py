"""How much memory a run needs at least, told from shapes before anything is allocated."""

from collections.abc import Iterator
import os
from pathlib import Path
from typing import Any

import jax
from jax.extend import core

from experiments.support.assembly import Evaluation, Run
from experiments.support.processes import members_at_once
from vae_jax import datasets, training
from vae_jax.objectives import sample_terms

_PRODUCTS = ("dot_general", "conv_general_dilated")


def check_training_memory(run: Run) -> None:
    """Refuse a training that cannot fit: its state and the next one, and the layers of a step.

    Raises:
      ValueError: with what is needed at least, what is there, and what to lower.
    """
    state = jax.eval_shape(run.init, run.dataset.train)
    sizes = "config.vae's sizes"
    _check(2 * _bytes(state), run, "the training state", f"{sizes} or config.num_seeds")
    batch_size, options = run.config.training.batch_size, run.config.objective
    num_samples = options.get("num_samples", 1) * options.get("num_groups", 1)
    num_samples = options.get("chunk_size", 0) or num_samples
    placement, count = run.placement, len(run.members)
    num_devices = placement.num_devices if placement.divided == "members" else 1
    at_once = min(count, num_devices * (members_at_once(placement) or count))
    layers = at_once * layers_bytes(run, state, batch_size, num_samples)
    remedy = "config.training.batch_size, config.objective.num_samples"
    if "chunk_size" in options:
        remedy += " (or set config.objective.chunk_size)"
    remedy += f" or {sizes}"
    _check(2 * _bytes(state) + layers, run, "a step of the training", remedy)


def check_evaluation_memory(run: Run, how: Evaluation, num_examples: int) -> None:
    """Refuse an evaluation that cannot fit: the layers of a chunk, and three numbers per sample.

    Raises:
      ValueError: with what is needed at least, what is there, and what to lower.
    """
    batch_size, chunk_size = min(how.batch_size, num_examples), min(how.chunk_size, how.num_samples)
    numbers = 3 * 4 * batch_size * how.num_samples
    layers = layers_bytes(run, jax.eval_shape(run.init, run.dataset.train), batch_size, chunk_size)
    remedy = "batch_size, chunk_size or num_samples of config.evaluation (or --num_samples)"
    _check(numbers + layers, run, "a batch of the evaluation", remedy)


def layers_bytes(run: Run, state: training.TrainState, num_examples: int, num_samples: int) -> int:
    """Return the bytes that the layers of one member put out, for so many examples and samples.

    Only products and convolutions count, whose results always lie in memory; the rest a compiler
    may join with what follows. Together with two states it is 30 to 90% of what XLA needs for dense
    and convolutional networks, and less for the densities of a mixture of thousands of components.
    """
    member = jax.eval_shape(lambda state: training.select_member(state, 0), state)
    examples = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((num_examples, *leaf.shape[1:]), leaf.dtype),
        run.dataset.train,
    )

    def terms(key, params, examples):
        batch = datasets.to_model_examples(run.dataset, key, examples)
        keys = jax.random.split(key, num_samples)
        return jax.vmap(lambda x, y: sample_terms(keys, run.vae, params, x, y))(*batch)

    traced = jax.make_jaxpr(terms)(member.key, member.params["vae"], examples)
    return sum(_product_bytes(traced.jaxpr))


def _product_bytes(jaxpr: core.Jaxpr) -> Iterator[int]:
    for equation in jaxpr.eqns:
        if equation.primitive.name in _PRODUCTS:
            yield from (_bytes(variable.aval) for variable in equation.outvars)
        times = equation.params.get("length", 1)  # of a scan, which training keeps all passes of
        for part in jax.tree.leaves(tuple(equation.params.values()), is_leaf=_is_program):
            if _is_program(part):
                inner = getattr(part, "jaxpr", part)
                yield from (times * size for size in _product_bytes(inner))


def _is_program(part):
    return isinstance(part, core.Jaxpr | core.ClosedJaxpr)


def _bytes(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    # A key has no itemsize that numpy knows: it is two words.
    return sum(leaf.size * getattr(leaf.dtype, "itemsize", 8) for leaf in leaves)


def memory_here() -> int:
    """Return the bytes that one device has; on a CPU, those of the machine or of its container."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    container = Path("/sys/fs/cgroup/memory.max")  # bytes, or "max"
    if container.exists() and (text := container.read_text().strip()).isdigit():
        limits.append(int(text))
    return statistics.get("bytes_limit", min(limits))


def _check(needed: int, run: Run, what: str, remedy: str) -> None:
    # Members or the batch are divided among accelerators; CPU devices share the machine's memory.
    on_accelerator = jax.local_devices()[0].platform != "cpu"
    num_devices = run.placement.num_devices if on_accelerator else 1
    here = memory_here() * num_devices
    if needed > here:
        raise ValueError(
            f"{what} needs at least {_amount(needed)} of memory, of {_amount(here)} here: lower "
            f"{remedy}"
        )


def _amount(size: int) -> str:
    for unit in ("MB", "GB", "TB"):
        size /= 1000 if unit != "MB" else 1e6
        if size < 1000:
            break
    return f"{size:,.3g} {unit}" if size < 1000 else f"{size:,.0f} {unit}"
