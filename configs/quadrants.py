"""The quadrant task of Sohn et al. (2015), Section 5.2, on the embedded digits: given the lower
left quarter of the image, predict the rest. Numbers are nats of the rest.

python -m experiments.train --config=configs/quadrants.py

Test set, seed 0: -log p(rest | quarter) 16.5 nats, in half a minute on two cores.
"""

from configs import cvae


def get_config():
    config = cvae.get_config()
    config.data.given_quadrants = 1  # or 2, or 3
    return config
