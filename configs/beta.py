"""beta-VAE (Higgins et al., 2017) with beta = 3 on scikit-learn's digits, 8x8 counts of 0 to 16.

    python -m experiments.train --config=configs/beta.py

Data: comes with scikit-learn. beta and the number of epochs are those of the best -log p(x) of the
validation set: 87.4, 87.3 and 87.9 nats for beta = 2, 3 and 4, and 88.2 nats after 400 epochs.

Test set, seed 0: -log p(x) 86.7 nats, ELBO -98.6 nats, in about 30 seconds on two cores.
"""

from configs import default

EXPECTED = {
    "nll": (86.7, 1.0),
    "elbo": (-98.6, 1.0),
    "kl": (12.3, 0.25),
    "active_units": (10, 0),
    "minutes": 0.5,
}


def get_config():
    config = default.get_config()
    config.objective.beta = 3.0
    config.training.num_epochs = 600
    return config
