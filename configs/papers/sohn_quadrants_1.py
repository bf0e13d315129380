"""The quadrant task of Sohn et al. (2015) with one quadrant given, on MNIST.

    python -m experiments.reproduce sohn_quadrants_1 --data_dir=DIR

Published: -log p(rest | given) 68 nats by Monte Carlo for one given (from memory; Pyro's tutorial
has 71.8).
Protocol: the rest of a statically binarized image is predicted from one of its quarters.
Ours differs: 784-200-200-50 with p(z|y); SOAP over 60 epochs as of burda_static_k1;
-log p is by 5,000 importance samples.
"""

from configs.papers import burda_static_k1

PUBLISHED = {
    "metric": "nll",
    "value": 68.0,
    "is_verified": False,
    "source": "Sohn et al. (2015)",
    "is_same_protocol": False,
}
EXPECTED = {"minutes": 30}


def get_config():
    config = burda_static_k1.get_config(num_epochs=60)
    config.data.given_quadrants = 1
    config.vae.conditional = True
    config.vae.prior = "conditional_gaussian"
    return config
