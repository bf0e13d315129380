"""The quadrant task of Sohn et al. (2015) with three quadrants given, on MNIST.

    python -m experiments.reproduce sohn_quadrants_3 --data_dir=DIR

Published: -log p(rest | given) 21 nats by Monte Carlo for three given (from memory; Pyro's tutorial
has 24.2).
Protocol: the rest of a statically binarized image is predicted from three of its quarters.
Ours differs: as of sohn_quadrants_1.
"""

from configs.papers import sohn_quadrants_1

PUBLISHED = {
    "metric": "nll",
    "value": 21.0,
    "is_verified": False,
    "source": "Sohn et al. (2015)",
    "is_same_protocol": False,
}
EXPECTED = {"minutes": 30}


def get_config():
    config = sohn_quadrants_1.get_config()
    config.data.given_quadrants = 3
    return config
