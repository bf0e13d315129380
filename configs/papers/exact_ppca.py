"""A linear VAE against the maximum likelihood of probabilistic PCA, which is known in closed form.

    python -m experiments.reproduce exact_ppca --data_dir=DIR

Published: 0 nats, Tipping & Bishop (1999), Section 3.2: no model of this kind has a larger mean
log p(x) of the training set; the number is the maximum less ours.
Protocol: configs/ppca.py: 5,000 draws in 20 dimensions of a model with five latents, made here.
Ours differs: the maximum is found by stochastic gradients of the ELBO, not by eigenvectors.
"""

from configs import ppca
from experiments.support import exact

PUBLISHED = {
    "metric": "nats below the maximum",
    "value": 0.0,
    "is_verified": True,
    "source": "Tipping & Bishop (1999)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 1}


def get_config():
    config = ppca.get_config()
    config.num_seeds = 3
    return config


def measure(workdir, data_dir):
    return exact.below_maximum_likelihood(workdir)
