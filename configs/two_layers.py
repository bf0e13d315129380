"""Two stochastic layers (Burda et al., 2016) of 20 and 10 latents, on scikit-learn's digits.

    python -m experiments.train --config=configs/two_layers.py

The model of the paper: vae.latent_dim=100, vae.upper_dim=50, vae.upper_hidden="(100, 100)".

Data: comes with scikit-learn. beta is that of the best -log p(x) of the validation set: 85.5, 86.0
and 87.2 nats for beta = 1, 2 and 3.

Test set, seed 0: -log p(x) 84.4 nats, ELBO -92.7 nats, in about 40 seconds on two cores.
"""

from configs import default

EXPECTED = {
    "nll": (84.4, 1.6),
    "elbo": (-92.7, 1.2),
    "kl": (20.6, 0.3),
    "active_units": (20, 0),
    "minutes": 0.7,
}


def get_config():
    config = default.get_config()
    config.vae.posterior = "two_layers"
    config.vae.prior = "two_layers"
    config.vae.latent_dim = 20
    config.vae.upper_dim = 10
    config.vae.upper_hidden = (100, 100)
    config.training.num_epochs = 300
    return config
