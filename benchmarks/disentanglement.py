"""Where the time of the disentanglement metrics goes: python -m benchmarks.disentanglement

Seconds of each metric on 15,000 made-up codes of ten latents with the factors of dSprites, by
--protocol=quick or full: what is fitted, and the bootstrap of 200 resamples. Processor time is
shown too, which other programs on the machine change less. --json=FILE keeps the numbers; --reduced
only shows that all runs.
"""

import time

from absl import app, flags
import numpy as np

from benchmarks import timing
from vae_jax.evaluation import disentanglement
from vae_jax.fast import threefry
from vae_jax.lookup import options_of

_SIZES = (3, 6, 40, 32, 32)  # values of the factors of dSprites
_REDUCED = {
    "num_examples": 600,
    "num_train": 400,
    "num_test": 200,
    "num_votes": 50,
    "num_test_votes": 50,
    "num_stages": 1,
}


def made_up_codes(num_examples: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return (codes, factors): of ten codes, five mix the factors and five are nearly constant."""
    rng = np.random.default_rng(0)
    factors = rng.integers(sizes, size=(num_examples, len(sizes)))
    values = 3 * (factors / (np.array(sizes) - 1) - 0.5)
    codes = 0.1 * rng.normal(size=(num_examples, 10))
    codes[:, : len(sizes)] += values + 0.2 * values[:, ::-1] ** 2
    codes[:, len(sizes) :] *= 0.3
    return codes, factors


def main(argv: list[str]) -> None:
    """Fit and resample each metric once."""
    given = flags.FLAGS
    options = disentanglement.PROTOCOLS[given.protocol]
    codes, factors = made_up_codes(15_000, _SIZES)
    if given.reduced:
        codes, factors = made_up_codes(600, (3, 4))
        options = {
            metric: {name: _REDUCED[name] for name in options_of(row) if name in _REDUCED}
            for metric, row in disentanglement.METRICS.items()
        }
    milliseconds = {}
    print(f"{given.protocol} protocol, {len(codes):,} examples: seconds (of the processor)")
    for metric, row in disentanglement.METRICS.items():
        laps = [(time.perf_counter(), time.process_time())]
        fitted = row(threefry.key(0), codes, factors, **options.get(metric, {}))
        laps.append((time.perf_counter(), time.process_time()))
        disentanglement.bootstrap(threefry.key(1), fitted, 2 if given.reduced else 200)
        laps.append((time.perf_counter(), time.process_time()))
        (fit, fit_own), (resample, resample_own) = np.diff(laps, axis=0)
        print(
            f"  {metric:<14} fit {fit:7.1f} ({fit_own:.1f})  "
            f"bootstrap {resample:5.1f} ({resample_own:.1f})",
            flush=True,
        )
        milliseconds[metric] = 1e3 * (fit + resample)
    print(f"  in all {sum(milliseconds.values()) / 1e3:.0f}")
    title = f"disentanglement, {given.protocol} protocol"
    timing.write_json(given.json, [{"title": title, "milliseconds": milliseconds}])


if __name__ == "__main__":
    flags.DEFINE_enum("protocol", "quick", list(disentanglement.PROTOCOLS), "which numbers")
    flags.DEFINE_string("json", "", "file for the numbers")
    flags.DEFINE_boolean("reduced", False, "small sizes: whether all runs, not how fast")
    app.run(main)
