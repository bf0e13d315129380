"""Variational autoencoders as pure functions in JAX.

Every function is written for one example, in nats, with an explicit key; `jax.vmap` lifts it to a
batch. The names below are what a notebook or another program needs; each is loaded when it is
first used. The packages hold the rest: `distributions`, `networks`, `models`, `objectives`,
`datasets`, `training`, `evaluation`, `figures`, `checkpoints`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers, what __getattr__ gives at run time
    from vae_jax import checkpoints as checkpoints
    from vae_jax import datasets as datasets
    from vae_jax import distributions as distributions
    from vae_jax import evaluation as evaluation
    from vae_jax import figures as figures
    from vae_jax import models as models
    from vae_jax import networks as networks
    from vae_jax import objectives as objectives
    from vae_jax import training as training
    from vae_jax.datasets import Examples as Examples
    from vae_jax.datasets import expected_examples as expected_examples
    from vae_jax.datasets import from_arrays as from_arrays
    from vae_jax.datasets import load_dataset as load_dataset
    from vae_jax.datasets import make_batches as make_batches
    from vae_jax.datasets import to_model_examples as to_model_examples
    from vae_jax.evaluation import EvaluationKeys as EvaluationKeys
    from vae_jax.evaluation import evaluation_keys as evaluation_keys
    from vae_jax.evaluation import make_measure as make_measure
    from vae_jax.evaluation import map_examples as map_examples
    from vae_jax.fast.threefry import key as key
    from vae_jax.fitting import Fitted as Fitted
    from vae_jax.fitting import fit as fit
    from vae_jax.fitting import fit_members as fit_members
    from vae_jax.model import Model as Model
    from vae_jax.model_file import load_model as load_model
    from vae_jax.model_file import save_model as save_model
    from vae_jax.models import make_vae as make_vae
    from vae_jax.models import make_vae_for as make_vae_for
    from vae_jax.objectives import make_objective as make_objective
    from vae_jax.tables import TABLES as TABLES
    from vae_jax.training import init_members as init_members
    from vae_jax.training import make_optimizer as make_optimizer
    from vae_jax.training import make_schedule as make_schedule
    from vae_jax.training import make_train_step as make_train_step
    from vae_jax.training import make_train_steps as make_train_steps
    from vae_jax.training import select_member as select_member

# {name: the module that has it}
_PUBLIC = {
    "TABLES": "tables",
    "Examples": "datasets",
    "Fitted": "fitting",
    "EvaluationKeys": "evaluation",
    "Model": "model",
    "evaluation_keys": "evaluation",
    "expected_examples": "datasets",
    "fit": "fitting",
    "fit_members": "fitting",
    "from_arrays": "datasets",
    "init_members": "training",
    "key": "fast.threefry",
    "load_dataset": "datasets",
    "load_model": "model_file",
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
    "save_model": "model_file",
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


if not TYPE_CHECKING:  # seen by type checkers, it would give a type to misspelt names too

    def __getattr__(name: str) -> Any:
        if name in _PACKAGES:
            return importlib.import_module(f"vae_jax.{name}")
        if name in _PUBLIC:
            return getattr(importlib.import_module(f"vae_jax.{_PUBLIC[name]}"), name)
        raise AttributeError(
            f"module 'vae_jax' has no attribute {name!r}; it has {', '.join(__all__)}"
        )


def __dir__() -> list[str]:
    return __all__
