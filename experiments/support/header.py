"""The lines that a run begins with: what it is about to train, on what."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from experiments.support import console
from experiments.support.assembly import Run, is_set
from experiments.support.options import by_field
from experiments.support.sweeps import Member
from vae_jax import datasets, training
from vae_jax.lookup import look_up, name_of, options_of, pick
from vae_jax.tables import TABLES

_MOST_NAMED = 20  # members; the final table names all


def describe_run(run: Run, state: training.TrainState, workdir: Any) -> dict[str, str]:
    """Return the header: {what: a line on it}."""
    config, data, names = run.config, run.dataset, run.member_names
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params)) // len(names)
    parts = (data.train, data.validation, data.test)
    sizes = ", ".join(f"{datasets.num_examples(part):,}" for part in parts)
    device = console.device_line()
    if run.placement.num_devices > 1:
        device += f"; {run.placement.divided} divided among {run.placement.num_devices}"
    return {
        "device": device,
        "data": f"{data.protocol}; {sizes} train, validation, test examples of {data.shape}",
        **describe_columns(data, config.vae.likelihood),
        "model": f"{describe_model(config.vae)}; {num_parameters:,} parameters",
        "objective": describe_row(config.objective, "objective", "name"),
        "optimizer": f"{describe_row(config.optimizer, 'optimizer', 'name')}, learning rate "
        f"{config.optimizer.learning_rate:g}, {config.optimizer.schedule} after "
        f"{config.optimizer.warmup_steps} steps of warm-up"
        + describe_own_optimizer(config.objective_optimizer),
        "training": f"{config.training.num_epochs} epochs of {run.steps_per_epoch} steps, "
        f"{len(names)} member(s): {'; '.join(names[:_MOST_NAMED])}"
        + ("; ..." if len(names) > _MOST_NAMED else ""),
        "workdir": str(workdir),
    }


def describe_columns(data: datasets.Dataset, likelihood: str) -> dict[str, str]:
    """Return the line on the columns of a table by kind, with their likelihood; {} of others."""
    if data.columns is None:
        return {}
    likelihoods, texts = by_field(likelihood), []
    for kind in dict.fromkeys(column.kind for column in data.columns):
        names = [column.name for column in data.columns if column.kind == kind]
        how = "left out" if kind == "drop" else f"{kind}, {name_of(pick(likelihoods, kind))}"
        texts.append(f"{', '.join(names)} ({how})")
    return {"columns": "; ".join(texts)}


def describe_row(block: Mapping[str, Any], name: str, field: str) -> str:
    """Return the row that a field of a block names, with its options."""
    known = options_of(look_up(TABLES[name][field], block[field], field))
    options = ", ".join(f"{option}={block[option]}" for option in known)
    return f"{name_of(block[field])} ({options})"


def describe_own_optimizer(block: Mapping[str, Any]) -> str:
    """Return what the optimizer of the objective's own parameters has of its own, or ""."""
    own = ", ".join(f"{name}={value}" for name, value in sorted(block.items()) if value != "")
    return f"; the objective's own: {own}" if is_set(block) else ""


def describe_objective(block: Mapping[str, Any], member: Member) -> str:
    """Return an objective and those of its options that are not the row's own defaults.

    What a sweep sets is left out: the member's name says it.
    """
    defaults = options_of(look_up(TABLES["objective"]["name"], block["name"], "name"))
    changed = [
        f"{option}={value:g}" if isinstance(value, float) else f"{option}={value}"
        for option, default in defaults.items()
        if (value := block[option]) != default and f"objective.{option}" not in member.point
    ]
    return name_of(block["name"]) + (f" ({', '.join(changed)})" if changed else "")


def describe_model(vae: Mapping[str, Any]) -> str:
    """Return the model in a line: its networks, q(z|x), p(z) and p(x|z)."""
    network = describe_row(vae, "vae", "network")
    text = (
        f"{network}, {vae['latent_dim']} latents: q(z|x) "
        f"{name_of(vae['posterior'])}, p(z) {name_of(vae['prior'])}, "
        f"p(x|z) {name_of(vae['likelihood'])}"
    )
    if vae["likelihood"] == "gaussian":
        # E_q (x - mean)^2 + beta KL has its minimum where the ELBO of this sigma has its maximum.
        scale = vae["likelihood_scale"]
        text += f" (sigma {scale:g}: the squared error with beta = {2 * scale**2:g})"
    return text + (", given y" if vae["conditional"] else "")


def warnings_of(run: Run) -> Iterator[str]:
    """Yield notes on schedules that the run is too short for."""
    config = run.config
    schedules = {
        f"objective.{option}": num_steps
        for option, num_steps in config.objective.items()
        if option.endswith("_steps")
    }
    schedules["optimizer.boundaries"] = max(config.optimizer.get("boundaries", ()), default=0)
    for field, num_steps in schedules.items():
        if num_steps >= run.num_steps:
            yield f"note: {field} ({num_steps}) outlasts the run of {run.num_steps} steps"
