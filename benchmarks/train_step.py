"""A training step beside what a user would pick instead: python -m benchmarks.train_step

Sections (--only=mlp --only=...): `mlp` against peers and the bare matrix products; `iwae`, K = 50,
against the products; `members`, many models at once against as many alone; `conv`, the dSprites
pair; `sprites`, images rendered in the step against stored ones; `rows`, other posteriors and
priors beside the diagonal Gaussian's; `growth`, a step against its size. --json=FILE keeps the
numbers, --figure=FILE draws the growth; --reduced only shows that all runs.
"""

import math

from absl import app, flags
import jax
import numpy as np

from benchmarks import growth, ours, peers, products, timing
from benchmarks.ours import Step
from experiments.support.processes import make_cores_devices
from vae_jax import datasets

_SMALL = Step(hidden=8)  # of the reduced form: its sections share what they compile


def compare_mlp(rounds: int, reduced: bool) -> list:
    """784-h-h-50 at batch 20 and 128, hidden 200 and 500."""
    results = []
    sizes = [Step(hidden=h, batch=b) for h in (200, 500) for b in (20, 128)]
    for step in [_SMALL] if reduced else sizes:
        runs = {
            "vae_jax": step.make_run(),
            "products, numpy": products.numpy_products(step.layers),
            "products, jax": products.jax_products(step.layers),
        }
        runs |= timing.available(peers.PEERS, step.batch, step.hidden)
        milliseconds = timing.interleave(runs, rounds)
        title = f"784-{step.hidden}-{step.hidden}-50, batch {step.batch}"
        results.append(timing.report(title, milliseconds, "vae_jax"))
    return results


def compare_iwae(rounds: int, reduced: bool) -> list:
    """IWAE with K = 50 at batch 20 against its products."""
    step = (_SMALL if reduced else Step())._replace(samples=50)
    hidden, options = (step.hidden, step.hidden), {"num_samples": step.samples}
    runs = {
        "vae_jax": ours.make_run(step.batch, hidden, objective="iwae", objective_options=options),
        "products, numpy": products.numpy_products(step.layers),
        "products, jax": products.jax_products(step.layers),
    }
    milliseconds = timing.interleave(runs, rounds)
    return [timing.report("IWAE, K = 50, batch 20", milliseconds, "vae_jax")]


def compare_members(rounds: int, reduced: bool) -> list:
    """Models trained at once, in multiples of one alone, at batch 20."""
    step, counts = (_SMALL, (1, 2)) if reduced else (Step(), (1, 2, 4, 8, 16, 32, 64))
    runs = {f"{n} models": step._replace(models=n).make_run() for n in counts}
    milliseconds = timing.interleave(runs, rounds)
    for n in counts:
        multiple = milliseconds[f"{n} models"] / n / milliseconds["1 models"]
        print(f"{n} models at once cost {multiple:.2f} x as much per model as one")
    return [timing.report("models at once, batch 20", milliseconds, "1 models")]


def compare_conv(rounds: int, reduced: bool) -> list:
    """64x64, channels 32-32-64-64, one dense layer of 256, batch 64."""
    pair = {"network": "conv", "channels": (32, 32, 64, 64), "activation": "relu"}
    size = {"hidden": (256,), "shape": (64, 64, 1), "latent_dim": 10}
    if reduced:
        pair, size = pair | {"channels": (2,)}, size | {"hidden": (8,), "shape": (8, 8, 1)}
    batch_size = 2 if reduced else 64
    runs = {"vae_jax": ours.make_run(batch_size, **size, **pair)}
    runs |= timing.available({"PyTorch, eager": peers.eager_torch_conv}, batch_size)
    milliseconds = timing.interleave(runs, rounds)
    return [timing.report("dSprites pair, 64x64, batch 64", milliseconds, "vae_jax")]


def compare_sprites(rounds: int, reduced: bool) -> list:
    """Sprites at batch 64, rendered in the step and stored, for a convolutional and a dense VAE."""
    rendered = datasets.load_sprites()
    examples = datasets.Examples(np.asarray(datasets.render_sprites(rendered.train.x[:20_000])))
    stored = datasets.make_dataset("stored", examples, examples, examples, 1.0, "none")
    conv = {"network": "conv", "channels": (32, 32, 64, 64), "hidden": (256,)}
    networks = {"conv": conv, "mlp": {"hidden": (200, 200)}}
    if reduced:  # two compilations
        networks = {"mlp": {"hidden": (2,)}}
    size = {"shape": rendered.shape, "latent_dim": 10, "activation": "relu"}
    results = []
    for name, network in networks.items():
        runs = {
            how: ours.make_run(2 if reduced else 64, data=data, **size, **network)
            for how, data in {"rendered": rendered, "stored": stored}.items()
        }
        milliseconds = timing.interleave(runs, rounds)
        results.append(timing.report(f"sprites, {name}, batch 64", milliseconds, "stored"))
    return results


def compare_rows(rounds: int, reduced: bool) -> list:
    """784-300-300-50, batch 100: other posteriors and priors beside the diagonal Gaussian's."""
    hidden, count, batch_size = (8, 2, 2) if reduced else (300, 500, 100)
    rows = {
        "gaussian, standard_normal": {},
        "full_gaussian posterior": {"posterior": "full_gaussian"},
        "vampprior": {"prior": "vampprior", "num_components": count},
        "inverse_autoregressive posterior": {"posterior": "inverse_autoregressive"},
        "coupling prior": {"prior": "coupling"},
        "two_layers": {"posterior": "two_layers", "prior": "two_layers"},
    }
    if reduced:  # two compilations
        rows = dict(list(rows.items())[:2])
    runs = {
        name: ours.make_run(batch_size, (hidden, hidden), **options)
        for name, options in rows.items()
    }
    milliseconds = timing.interleave(runs, rounds)
    title = "784-300-300-50, batch 100; vampprior of 500 components"
    return [timing.report(title, milliseconds, "gaussian, standard_normal")]


def measure_growth(rounds: int, reduced: bool) -> list:
    """A step against its batch, width, samples, models and devices."""
    return growth.measure_growth(rounds, reduced, flags.FLAGS.figure)


SECTIONS = {
    "mlp": compare_mlp,
    "iwae": compare_iwae,
    "members": compare_members,
    "conv": compare_conv,
    "sprites": compare_sprites,
    "rows": compare_rows,
    "growth": measure_growth,
}


def main(argv: list[str]) -> None:
    """Run the sections and keep their numbers."""
    given = flags.FLAGS
    make_cores_devices()
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}")
    rounds = timing.REDUCED if given.reduced else given.rounds
    results = []
    for section in given.only:
        results += SECTIONS[section](rounds, given.reduced)
    assert all(0 < each < math.inf for r in results for each in r["milliseconds"].values())
    timing.write_json(given.json, results)


if __name__ == "__main__":
    flags.DEFINE_multi_enum("only", list(SECTIONS), list(SECTIONS), "sections to run")
    flags.DEFINE_integer("rounds", 7, "turns that each run takes", lower_bound=1)
    flags.DEFINE_string("json", "", "file for the numbers")
    flags.DEFINE_string("figure", "", "file for the picture of the growth")
    flags.DEFINE_boolean("reduced", False, "one step of each: whether all runs, not how fast")
    app.run(main)
