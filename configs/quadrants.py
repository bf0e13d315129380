"""The quadrant task of Sohn et al. (2015), Section 5.2, on scikit-learn's digits: given the lower
left quarter of the image, predict the rest. Numbers are nats of the rest.

    python -m experiments.train --config=configs/quadrants.py

Data: comes with scikit-learn. beta is that of the best -log p(rest | quarter) of the validation
set: 65.8, 65.2 and 65.8 nats for beta = 1, 2 and 3.
"""

from configs import cvae


def get_config():
    config = cvae.get_config()
    config.data.given_quadrants = 1  # or 2, or 3
    config.training.num_epochs = 200
    return config
