"""IWAE of Burda et al. (2016), one stochastic layer, K = 5, on dynamically binarized MNIST.

    python -m experiments.reproduce burda_iwae_k5 --data_dir=DIR

Published: -log p(x) 85.54 nats, Table 1 (read in a reproduction that states it).
Protocol: as of burda_vae_k1.
Ours differs: SOAP at 1e-2 with a cosine over 100 epochs of batches of 400.
"""

from configs.papers import _soap, burda_vae_k1

PUBLISHED = {
    "metric": "nll",
    "value": 85.54,
    "is_verified": True,
    "source": "Burda et al. (2016)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 60}


def get_config():
    config = burda_vae_k1.get_config()
    config.objective.name = "iwae"
    config.objective.num_samples = 5
    _soap.use_soap(config, num_epochs=100)
    return config
