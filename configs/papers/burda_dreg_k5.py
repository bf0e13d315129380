"""IWAE of Burda et al. (2016), K = 5, with doubly reparameterized gradients, on dynamic MNIST.

    python -m experiments.reproduce burda_dreg_k5 --data_dir=DIR

Published: -log p(x) 85.54 nats with the plain gradient, Table 1 (read in a reproduction that states
it).
Protocol: as of burda_vae_k1.
Ours differs: as of burda_iwae_k5, with the gradient of Tucker et al. (2019).
"""

from configs.papers import burda_iwae_k5

PUBLISHED = burda_iwae_k5.PUBLISHED
EXPECTED = {"minutes": 60}


def get_config():
    config = burda_iwae_k5.get_config()
    config.objective.estimator = "doubly_reparameterized"
    return config
