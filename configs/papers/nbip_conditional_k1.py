"""The label-conditional VAE of nbip/IWAE with a learned p(z|y), 100 latents, K = 1.

    python -m experiments.reproduce nbip_conditional_k1 --data_dir=DIR

Published: -log p(x|y) 82.32 nats (read in its README; one seed).
Protocol: as of nbip_vae_k1, with the class given to encoder, decoder and prior.
Ours differs: as of nbip_vae_k1.
"""

from configs.papers import nbip_vae_k1

PUBLISHED = {
    "metric": "nll",
    "value": 82.32,
    "is_verified": True,
    "source": "nbip/IWAE",
    "is_same_protocol": False,
}
EXPECTED = {"minutes": 35}


def get_config():
    config = nbip_vae_k1.get_config()
    config.vae.conditional = True
    config.vae.prior = "conditional_gaussian"
    return config
