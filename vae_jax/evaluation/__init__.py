from vae_jax.evaluation.importance_sampling import *  # noqa: F403
