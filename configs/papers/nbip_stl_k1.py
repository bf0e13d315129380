"""The reproduction by nbip/IWAE with sticking-the-landing gradients, 100 latents, K = 1.

    python -m experiments.reproduce nbip_stl_k1 --data_dir=DIR

Published: -log p(x) 86.08 nats (read in its README; one seed).
Protocol: as of nbip_vae_k1.
Ours differs: as of nbip_vae_k1; the ELBO by log-weights.
"""

from configs.papers import nbip_vae_k1

PUBLISHED = {
    "metric": "nll",
    "value": 86.08,
    "is_verified": True,
    "source": "nbip/IWAE",
    "is_same_protocol": False,
}
EXPECTED = {"minutes": 35}


def get_config():
    config = nbip_vae_k1.get_config()
    config.objective.form = "log_weights"
    config.objective.estimator = "sticking_the_landing"
    return config
