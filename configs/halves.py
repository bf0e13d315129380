"""Two fields with a branch each, joined in one latent: the halves of scikit-learn's digits.

    python -m experiments.train --config=configs/halves.py

Data: comes with scikit-learn. beta is that of the best -log p(x) of the validation set: 89.7, 89.3
and 90.0 nats for beta = 1, 2 and 3.

Test set, seed 0: -log p(x) 89.2 nats, ELBO -97.5 nats, in about 20 seconds on two cores.
"""

from configs import default

EXPECTED = {
    "nll": (89.2, 0.8),
    "elbo": (-97.5, 0.8),
    "kl": (14.7, 0.2),
    "active_units": (10, 0),
    "minutes": 0.4,
}


def get_config():
    config = default.get_config()
    config.data.name = "digit_halves"
    config.vae.hidden = (100, 100)
    config.objective.beta = 2.0
    config.training.num_epochs = 300
    return config
