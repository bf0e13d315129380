"""-log p(x) by importance samples beside its bare products: python -m benchmarks.evaluation

Per sample of one example of a 784-200-200-50 model, as the evaluating program computes it.
--json=FILE keeps the numbers; --reduced only shows that all runs.
"""

from absl import app, flags
import jax
import numpy as np

from benchmarks import products, timing
from benchmarks.images import made_up_images
from vae_jax import datasets, evaluation, models
from vae_jax.fast import threefry

_BATCH, _CHUNK = 100, 20  # the defaults of configs/default.py


def make_evaluation(num_samples: int) -> timing.Run:
    """Make run(num_batches), which measures batches of 100 examples by `num_samples` each."""
    images = np.float32(made_up_images((28, 28, 1), 1000) > 127)
    vae = models.make_vae((28, 28, 1), latent_dim=50)
    params = vae.init(threefry.key(0), datasets.Examples(images))
    keys = evaluation.evaluation_keys(threefry.key(1))
    measure = evaluation.make_measure(vae, keys, num_samples, _CHUNK)

    def run(num_batches):
        for _ in range(num_batches):
            examples = datasets.Examples(images[:_BATCH])
            measured = jax.device_get(measure(params, np.arange(_BATCH), examples))
            assert np.isfinite(measured["log_likelihood"]).all()

    return run


def main(argv: list[str]) -> None:
    """Time batches of 100 examples at 500 samples: the time is proportional to the samples."""
    given = flags.FLAGS
    rounds, num_samples = (timing.REDUCED, _CHUNK) if given.reduced else (given.rounds, 500)
    decoder = products.layers_of_vae(_BATCH, 200, _CHUNK)[3:]
    chunks = num_samples // _CHUNK
    bare = {
        "products, numpy": products.numpy_products(decoder, backward=False),
        "products, jax": products.jax_products(decoder, backward=False),
    }
    runs = {"vae_jax": make_evaluation(num_samples)}
    runs |= {name: lambda n, run=run: run(n * chunks) for name, run in bare.items()}
    milliseconds = timing.interleave(runs, rounds, least_steps=1)
    title = f"{_BATCH} examples, {num_samples} importance samples each"
    results = timing.report(title, milliseconds, "vae_jax")
    nanoseconds = milliseconds["vae_jax"] * 1e6 / (_BATCH * num_samples)
    print(f"vae_jax: {nanoseconds:,.0f} ns a sample of an example")
    timing.write_json(given.json, results)


if __name__ == "__main__":
    flags.DEFINE_integer("rounds", 7, "turns that each run takes", lower_bound=1)
    flags.DEFINE_string("json", "", "file for the numbers")
    flags.DEFINE_boolean("reduced", False, "one step of each: whether all runs, not how fast")
    app.run(main)
