"""Variational autoencoders as pure functions in JAX.

Every function is written for one example, in nats, with an explicit key; `jax.vmap` lifts it to a
batch. The names below are what a notebook or another program needs; each is loaded when it is
first used. The packages hold the rest: `distributions`, `networks`, `models`, `objectives`,
`datasets`, `training`, `evaluation`, `figures`, `checkpoints`.
"""

import importlib
from typing import Any

# {name: the module that has it}
_PUBLIC = {
    "TABLES": "tables",
    "Examples": "datasets",
    "EvaluationKeys": "evaluation",
    "evaluation_keys": "evaluation",
    "expected_examples": "datasets",
    "from_arrays": "datasets",
    "init_members": "training",
    "key": "fast.threefry",
    "load_dataset": "datasets",
    "make_batches": "datasets",
    "make_measure": "evaluation",
    "make_objective": "objectives",
    "make_optimizer": "training",
    "make_schedule": "training",
    "make_train_step": "training",
    "make_train_steps": "training",
    "make_vae": "models",
    "make_vae_for": "models",
    "map_examples": "evaluation",
    "select_member": "training",
    "to_model_examples": "datasets",
}
_PACKAGES = (
    "checkpoints",
    "datasets",
    "distributions",
    "evaluation",
    "figures",
    "models",
    "networks",
    "objectives",
    "training",
)

__all__ = [*_PUBLIC, *_PACKAGES]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"vae_jax.{name}")
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"vae_jax.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'vae_jax' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
