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
from vae_jax.lookup import options_of, take_options
from vae_jax.objectives import ESTIMATORS, OBJECTIVES, objectives_with

ONE_SAMPLE = "elbo pathwise, one sample"
_TURN = 0.1  # seconds; short ones, since all of them share a machine's ups and downs
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


def options_for(name: str, estimator: str, num_samples: int) -> dict[str, Any]:
    """Return the options of an objective with `num_samples` in all, where it takes samples."""
    possible = {"num_samples": num_samples, "dataset_size": 20_000}
    if "num_groups" in options_of(OBJECTIVES[name]):
        possible |= {"num_groups": _GROUPS, "num_samples": num_samples // _GROUPS}
    chosen = {"estimator": estimator} if estimator else {}
    return take_options(OBJECTIVES[name], possible) | chosen


def takes_samples(name: str) -> bool:
    """Tell whether an objective takes a number of samples per example; others draw one."""
    return "num_samples" in options_of(OBJECTIVES[name])


def make_step(
    name: str, estimator: str, num_samples: int, batch_size: int, hidden: int, **vae_options: Any
) -> timing.Run:
    """Make run(num_steps) of an objective with the model that it trains."""
    options = options_for(name, estimator, num_samples)
    objective = OBJECTIVES[name](**options)
    if objective.latents == "discrete":
        vae_options = _DISCRETE | vae_options
    if objective.classify is not None:
        vae_options = {"condition": 10} | vae_options
    return ours.make_run(
        batch_size, (hidden, hidden), objective=name, objective_options=options, **vae_options
    )


def compare_objectives(rounds: int, size: dict[str, int]) -> list[dict[str, Any]]:
    """Measure every combination, relative to both plain objectives."""
    chosen = combinations()
    if rounds == timing.REDUCED:
        chosen = [("elbo", "pathwise"), ("iwae", "pathwise")]
    runs = {f"{name} {each}".strip(): make_step(name, each, **size) for name, each in chosen}
    runs[ONE_SAMPLE] = make_step("elbo", "pathwise", **size | {"num_samples": 1})
    milliseconds = timing.interleave(runs, rounds, turn=_TURN, least_steps=1)
    title = "784-{hidden}-{hidden}-50, K = {num_samples}, batch {batch_size}".format(**size)
    return [
        timing.report(f"{title}: multiples of {plain}", milliseconds, plain)
        for plain in ("elbo pathwise", "iwae pathwise", ONE_SAMPLE)
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
        milliseconds = timing.interleave(runs, rounds, turn=_TURN, least_steps=1)
        results.append(timing.report(f"posterior {family}", milliseconds, "pathwise"))
    return results


def relative_costs(milliseconds: Mapping[str, float], size: Mapping[str, int]) -> dict[str, Any]:
    """Return what docs/objectives.md says of costs: {"what", "objectives", "estimators"}.

    That of an objective is relative to the pathwise ELBO, that of an estimator to the pathwise
    gradient of the same objective, which is iwae if that takes it.
    """
    first = {name: f"{name} {each}".strip() for name, each in reversed(combinations())}
    plain = {
        name: milliseconds["elbo pathwise" if takes_samples(name) else ONE_SAMPLE] for name in first
    }
    of_objectives = {
        name: milliseconds[first[name]] / plain[name]
        for name in OBJECTIVES
        if first[name] in milliseconds
    }
    of_estimators = {}
    for estimator in ESTIMATORS:
        takers = objectives_with(estimator)
        name = "iwae" if "iwae" in takers else takers[0]
        if f"{name} {estimator}" in milliseconds:
            pathwise = milliseconds[f"{name} pathwise"]
            of_estimators[estimator] = milliseconds[f"{name} {estimator}"] / pathwise
    what = (
        "Relative costs are those of a step of 784-{hidden}-{hidden}-50 with {num_samples} "
        "samples per example at batch {batch_size}, on a CPU: of an objective in multiples of the "
        "ELBO's of as many samples, of an estimator in multiples of the pathwise gradient's of the "
        "same objective."
    )
    costs = {"objectives": of_objectives, "estimators": of_estimators}
    rounded = {
        which: {name: round(each, 2) for name, each in numbers.items()}
        for which, numbers in costs.items()
    }
    return {"what": what.format(**size)} | rounded


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
