"""The quadrant task of Sohn et al. (2015), Section 5.1, on scikit-learn's digits: given the lower
left quarter of the image, predict the rest. Numbers are nats of the rest.

    python -m experiments.train --config=configs/quadrants.py

Data: comes with scikit-learn. beta is that of the best -log p(rest | quarter) of the validation
set: 65.8, 65.2 and 65.8 nats for beta = 1, 2 and 3.

Test set, seed 0: -log p(x|y) 64.8 nats, ELBO -71.4 nats, in about 30 seconds on two cores.
"""

from configs import cvae

EXPECTED = {
    "nll": (64.8, 0.9),
    "elbo": (-71.4, 1.0),
    "kl": (9.9, 0.25),
    "active_units": (10, 0),
    "minutes": 0.5,
}


def get_config():
    config = cvae.get_config()
    config.data.given_quadrants = 1  # or 2, or 3
    config.training.num_epochs = 200
    return config
