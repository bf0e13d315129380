"""A linear VAE on data whose maximum likelihood is known in closed form (Tipping & Bishop, 1999).

    python -m experiments.train --config=configs/ppca.py

No hidden layers and a Gaussian with one learned sigma: this model is probabilistic PCA.
"""

from configs import default

EXPECTED = {
    "nll": (33.0, 0.1),
    "elbo": (-33.0, 0.1),
    "kl": (7.0, 0.1),
    "active_units": (5, 0),
    "minutes": 0.5,
}


def get_config():
    config = default.get_config()
    config.data.name = "ppca"
    config.vae.hidden = ()
    config.vae.latent_dim = 5
    config.objective.estimator = "sticking_the_landing"
    config.optimizer.learning_rate = 1e-2
    config.training.batch_size = 500
    config.training.num_epochs = 1000
    return config
