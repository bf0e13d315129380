"""Two stochastic layers (Burda et al., 2016) of 20 and 10 latents, on the embedded digits.

python -m experiments.train --config=configs/two_layers.py

The model of the paper: vae.latent_dim=100, vae.upper_dim=50, vae.upper_hidden="(100, 100)".

Test set, seed 0: -log p(x) 22.3 nats, in 35 seconds on two cores.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.vae.posterior = "two_layers"
    config.vae.prior = "two_layers"
    config.vae.latent_dim = 20
    config.vae.upper_dim = 10
    config.vae.upper_hidden = (100, 100)
    return config
