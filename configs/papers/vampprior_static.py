"""The VampPrior of Tomczak & Welling (2018), one layer, on statically binarized MNIST.

    python -m experiments.reproduce vampprior_static --data_dir=DIR

Published: -log p(x) 85.57 nats (read in a reproduction that states it).
Protocol: gated layers 300-300, 40 latents, 500 pseudo-inputs, 100 epochs of warm-up, early
stopping.
Ours differs: SOAP over 100 epochs as of burda_static_k1, 20 of them warm-up.
"""

from configs.papers import standard_prior_static

PUBLISHED = {
    "metric": "nll",
    "value": 85.57,
    "is_verified": True,
    "source": "Tomczak & Welling (2018)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 120}


def get_config():
    config = standard_prior_static.get_config()
    config.vae.prior = "vampprior"
    config.vae.num_components = 500
    return config
