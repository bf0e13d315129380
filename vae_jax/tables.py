"""Every table whose rows a config names."""

from collections.abc import Mapping
from typing import Any

from vae_jax.datasets import DATASETS
from vae_jax.models import TABLES as MODEL_TABLES
from vae_jax.objectives import OBJECTIVES
from vae_jax.training import OPTIMIZERS, SCHEDULES

# {block of a config: {field that names a row: its table}}
TABLES: dict[str, Mapping[str, Mapping[str, Any]]] = {
    "data": {"name": DATASETS},
    "vae": MODEL_TABLES,
    "objective": {"name": OBJECTIVES},
    "optimizer": {"name": OPTIMIZERS, "schedule": SCHEDULES},
    "objective_optimizer": {"name": OPTIMIZERS},
}
