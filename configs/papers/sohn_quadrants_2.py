"""The quadrant task of Sohn et al. (2015) with two quadrants given, on MNIST.

    python -m experiments.reproduce sohn_quadrants_2 --data_dir=DIR

Published: -log p(rest | given) 45 nats by Monte Carlo for two given (from memory; Pyro's tutorial
has 51.0).
Protocol: the rest of a statically binarized image is predicted from two of its quarters.
Ours differs: as of sohn_quadrants_1.
"""

from configs.papers import sohn_quadrants_1

PUBLISHED = {
    "metric": "nll",
    "value": 45.0,
    "is_verified": False,
    "source": "Sohn et al. (2015)",
    "is_same_protocol": False,
}
EXPECTED = {"minutes": 30}


def get_config():
    config = sohn_quadrants_1.get_config()
    config.data.given_quadrants = 2
    return config
