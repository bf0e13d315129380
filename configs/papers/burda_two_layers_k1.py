"""Two stochastic layers of Burda et al. (2016), K = 1, on dynamically binarized MNIST.

    python -m experiments.reproduce burda_two_layers_k1 --data_dir=DIR

Published: -log p(x) 85.33 nats, Table 1 (read in a reproduction that states it).
Protocol: latents of 100 and 50, deterministic layers 200-200 and 100-100, tanh; data and measure as
of burda_vae_k1.
Ours differs: as of burda_stl_k1, with the plain gradient; the KL by samples.
"""

from configs.papers import _soap, burda_vae_k1

PUBLISHED = {
    "metric": "nll",
    "value": 85.33,
    "is_verified": True,
    "source": "Burda et al. (2016)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 60}


def get_config():
    config = burda_vae_k1.get_config()
    config.vae.posterior = "two_layers"
    config.vae.prior = "two_layers"
    config.vae.latent_dim = 100
    config.vae.upper_dim = 50
    config.vae.upper_hidden = (100, 100)
    _soap.use_soap(config, num_epochs=150)
    return config
