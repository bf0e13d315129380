"""IWAE of Burda et al. (2016), one stochastic layer, K = 5, on dynamically binarized MNIST.

    python -m experiments.reproduce burda_iwae_k5 --data_dir=DIR

Published: -log p(x) 85.54 nats, Table 1 (read in a reproduction that states it).
Protocol: as of burda_vae_k1.
Ours differs: as of burda_vae_k1, with 400 epochs.
"""

from configs.papers import burda_vae_k1

PUBLISHED = {"metric": "nll", "value": 85.54, "is_verified": True, "source": "Burda et al. (2016)"}
EXPECTED = {"minutes": 100}


def get_config():
    config = burda_vae_k1.get_config()
    config.objective.name = "iwae"
    config.objective.num_samples = 5
    config.training.num_epochs = 400
    return config
