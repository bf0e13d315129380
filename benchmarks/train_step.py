"""A training step beside what a user would pick instead: python -m benchmarks.train_step

Sections (--only=mlp --only=...): `mlp` against peers and the bare matrix products; `iwae`, K = 50,
against the products; `members`, many models at once against as many alone; `conv`, the dSprites
pair; `growth`, a step against its size. --json=FILE keeps the numbers; --reduced only shows that
all runs.
"""

import math

from absl import app, flags
import jax

from benchmarks import ours, peers, products, timing


def compare_mlp(rounds: int, scale: int) -> list:
    """784-h-h-50 at batch 20 and 128, hidden 200 and 500."""
    results = []
    sizes = ((200, 20), (200, 128), (500, 20), (500, 128))
    for hidden, batch_size in sizes if scale == 1 else sizes[:1]:
        layers = products.layers_of_vae(batch_size, hidden)
        runs = {
            "vae_jax": ours.make_run(batch_size, (hidden, hidden)),
            "products, numpy": products.numpy_products(layers),
            "products, jax": products.jax_products(layers),
        }
        runs |= timing.available(peers.PEERS, batch_size, hidden)
        num_steps = max(1, 6400 // (batch_size + 12) * 200 // hidden // scale)
        milliseconds = timing.interleave(runs, num_steps, rounds)
        title = f"784-{hidden}-{hidden}-50, batch {batch_size}"
        results.append(timing.report(title, milliseconds, "vae_jax"))
    return results


def compare_iwae(rounds: int, scale: int) -> list:
    """IWAE with K = 50 at batch 20 against its products."""
    layers = products.layers_of_vae(20, 200, num_samples=50)
    runs = {
        "vae_jax": ours.make_run(20, objective="iwae", objective_options={"num_samples": 50}),
        "products, numpy": products.numpy_products(layers),
        "products, jax": products.jax_products(layers),
    }
    milliseconds = timing.interleave(runs, max(1, 50 // scale), rounds)
    return [timing.report("IWAE, K = 50, batch 20", milliseconds, "vae_jax")]


def compare_members(rounds: int, scale: int) -> list:
    """Models trained at once, in multiples of one alone, at batch 20."""
    counts = (1, 2, 4, 8, 16, 32, 64) if scale == 1 else (1, 2)
    runs = {f"{n} models": ours.make_run(20, num_members=n) for n in counts}
    milliseconds = timing.interleave(runs, max(1, 60 // scale), rounds)
    for n in counts:
        multiple = milliseconds[f"{n} models"] / n / milliseconds["1 models"]
        print(f"{n} models at once cost {multiple:.2f} x as much per model as one")
    return [timing.report("models at once, batch 20", milliseconds, "1 models")]


def compare_conv(rounds: int, scale: int) -> list:
    """64x64, channels 32-32-64-64, one dense layer of 256, batch 64."""
    pair = {"network": "conv", "channels": (32, 32, 64, 64), "activation": "relu"}
    size = {"hidden": (256,), "shape": (64, 64, 1), "latent_dim": 10}
    runs = {"vae_jax": ours.make_run(64, **size, **pair)}
    runs |= timing.available({"PyTorch, eager": peers.eager_torch_conv}, 64)
    milliseconds = timing.interleave(runs, max(1, 10 // scale), rounds)
    return [timing.report("dSprites pair, 64x64, batch 64", milliseconds, "vae_jax")]


def measure_growth(rounds: int, scale: int) -> list:
    """Fit the exponent with which a step grows in the upper half of each size's range."""
    results = []
    sizes = {
        "batch": (32, 64, 128, 256, 512),
        "hidden": (128, 256, 512, 1024),
        "K": (1, 4, 16, 64),
    }
    for name, values in sizes.items():
        values = values if scale == 1 else values[:2]
        runs = {str(value): make_sized_run(name, value) for value in values}
        milliseconds = timing.interleave(runs, max(1, 40 // scale), rounds)
        small, large = values[-2], values[-1]
        ratio = milliseconds[str(large)] / milliseconds[str(small)]
        print(f"{name}: grows with exponent {math.log(ratio) / math.log(large / small):.2f}")
        results.append(timing.report(f"growth with {name}", milliseconds, str(values[0])))
    return results


def make_sized_run(name: str, value: int) -> timing.Run:
    """Return our run at batch 64 and hidden 200 with one size changed."""
    if name == "batch":
        return ours.make_run(value)
    if name == "hidden":
        return ours.make_run(64, (value, value))
    return ours.make_run(20, objective="iwae", objective_options={"num_samples": value})


SECTIONS = {
    "mlp": compare_mlp,
    "iwae": compare_iwae,
    "members": compare_members,
    "conv": compare_conv,
    "growth": measure_growth,
}


def main(argv: list[str]) -> None:
    """Run the sections and keep their numbers."""
    given = flags.FLAGS
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}")
    rounds, scale = (1, 1000) if given.reduced else (given.rounds, 1)
    results = []
    for section in given.only:
        results += SECTIONS[section](rounds, scale)
    assert all(0 < each < math.inf for r in results for each in r["milliseconds"].values())
    timing.write_json(given.json, results)


if __name__ == "__main__":
    flags.DEFINE_multi_enum("only", list(SECTIONS), list(SECTIONS), "sections to run")
    flags.DEFINE_integer("rounds", 7, "turns that each run takes", lower_bound=1)
    flags.DEFINE_string("json", "", "file for the numbers")
    flags.DEFINE_boolean("reduced", False, "one turn of one step: whether all runs, not how fast")
    app.run(main)
