"""What each objective and gradient estimator costs: python -m benchmarks.objectives

Sections (--only=...): `objectives`, every row of OBJECTIVES with every estimator that it takes,
beside the pathwise ELBO and the pathwise importance-weighted bound of as many samples;
`posteriors`, the doubly reparameterized gradient beside the pathwise one, for several families of
q(z|x). A step of training a 784-200-200-50 model with K = 50 samples per example. --json=FILE keeps
the numbers, --costs=benchmarks/objectives.json those that docs/objectives.md shows; --reduced only
shows that all runs.
"""

from collections.abc import Mapping
from typing import Any

from absl import app, flags
import jax

from benchmarks import ours, timing
from vae_jax.lookup import options_of
from vae_jax.objectives import ESTIMATORS, OBJECTIVES, objectives_with

_GROUPS = 5  # of the objectives that average several bounds
_DISCRETE = {"posterior": "categorical", "prior": "uniform_categorical", "latent_dim": 5}
POSTERIORS = {
    "gaussian": {},
    "full_gaussian": {"posterior": "full_gaussian"},
    "coupling": {"posterior": "coupling"},
    "inverse_autoregressive": {"posterior": "inverse_autoregressive"},
    "two_layers": {"posterior": "two_layers", "prior": "two_layers"},
    "gamma": {"posterior": "gamma", "prior": "gamma"},
}


def combinations() -> list[tuple[str, str]]:
    """Return every objective with every estimator that it takes; "" where it takes none."""
    estimators = {name: [] for name in OBJECTIVES}
    for estimator in ESTIMATORS:
        for name in objectives_with(estimator):
            estimators[name].append(estimator)
    return [(name, each) for name, taken in estimators.items() for each in taken or [""]]


def make_step(
    name: str, estimator: str, num_samples: int, batch_size: int, hidden: int, **vae_options: Any
) -> timing.Run:
    """Make run(num_steps) of an objective with K = `num_samples` in all, where it takes samples."""
    known, options = options_of(OBJECTIVES[name]), {}
    if "num_samples" in known:
        options["num_samples"] = num_samples
    if "num_groups" in known:
        options |= {"num_groups": _GROUPS, "num_samples": num_samples // _GROUPS}
    if estimator:
        options["estimator"] = estimator
    if OBJECTIVES[name](**options).latents == "discrete":
        vae_options = _DISCRETE | vae_options
    return ours.make_run(
        batch_size, (hidden, hidden), objective=name, objective_options=options, **vae_options
    )


def compare_objectives(rounds: int, size: dict[str, int]) -> list[dict[str, Any]]:
    """Measure every combination, relative to both plain objectives."""
    chosen = combinations()
    if rounds == timing.REDUCED:
        chosen = [("elbo", "pathwise"), ("iwae", "pathwise")]
    runs = {f"{name} {each}".strip(): make_step(name, each, **size) for name, each in chosen}
    milliseconds = timing.interleave(runs, rounds, least_steps=20)
    title = "784-200-200-50, K = {num_samples}, batch {batch_size}".format(**size)
    return [
        timing.report(f"{title}: multiples of {plain}", milliseconds, plain)
        for plain in ("elbo pathwise", "iwae pathwise")
    ]


def compare_posteriors(rounds: int, size: dict[str, int]) -> list[dict[str, Any]]:
    """Measure the doubly reparameterized gradient of each family against its pathwise one."""
    results = []
    for family, options in POSTERIORS.items():
        if rounds == timing.REDUCED and family != "gaussian":
            continue
        runs = {
            each: make_step("iwae", each, **size, **options)
            for each in ("pathwise", "doubly_reparameterized")
        }
        milliseconds = timing.interleave(runs, rounds, least_steps=20)
        results.append(timing.report(f"posterior {family}", milliseconds, "pathwise"))
    return results


def relative_costs(milliseconds: Mapping[str, float], size: Mapping[str, int]) -> dict[str, Any]:
    """Return what docs/objectives.md says of costs: {"what", "objectives", "estimators"}.

    That of an objective is relative to the pathwise ELBO, that of an estimator to the pathwise
    gradient of the same objective, which is iwae if that takes it.
    """
    names = {}
    for name, estimator in combinations():
        names.setdefault(name, f"{name} {estimator}".strip())
    measured = {name: key for name, key in names.items() if key in milliseconds}
    plain = milliseconds["elbo pathwise"]
    estimators = {}
    for estimator in ESTIMATORS:
        takers = objectives_with(estimator)
        name = "iwae" if "iwae" in takers else takers[0]
        own, pathwise = f"{name} {estimator}", f"{name} pathwise"
        if own in milliseconds:
            estimators[estimator] = round(milliseconds[own] / milliseconds[pathwise], 2)
    what = (
        "Relative costs are those of a step of 784-{hidden}-{hidden}-50 with {num_samples} "
        "samples per example at batch {batch_size}, on a CPU: of an objective in multiples of the "
        "ELBO's, of an estimator in multiples of the pathwise gradient's of the same objective."
    )
    return {
        "what": what.format(**size),
        "objectives": {name: round(milliseconds[key] / plain, 2) for name, key in measured.items()},
        "estimators": estimators,
    }


SECTIONS = {"objectives": compare_objectives, "posteriors": compare_posteriors}


def main(argv: list[str]) -> None:
    """Run the sections and keep their numbers."""
    given = flags.FLAGS
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}")
    rounds, size = given.rounds, {"num_samples": 50, "batch_size": given.batch_size, "hidden": 200}
    if given.reduced:
        rounds, size = timing.REDUCED, {"num_samples": 5, "batch_size": 2, "hidden": 8}
    results = []
    for section in given.only:
        results += SECTIONS[section](rounds, size)
    timing.write_json(given.json, results)
    if "objectives" in given.only:
        timing.write_json(given.costs, relative_costs(results[0]["milliseconds"], size))


if __name__ == "__main__":
    flags.DEFINE_multi_enum("only", list(SECTIONS), list(SECTIONS), "sections to run")
    flags.DEFINE_integer("rounds", 7, "turns that each run takes", lower_bound=1)
    flags.DEFINE_integer("batch_size", 20, "examples per step", lower_bound=1)
    flags.DEFINE_string("json", "", "file for the numbers")
    flags.DEFINE_string("costs", "", "file for the relative costs")
    flags.DEFINE_boolean("reduced", False, "one step of each: whether all runs, not how fast")
    app.run(main)
