"""The standard prior in the network of Tomczak & Welling (2018), on statically binarized MNIST.

    python -m experiments.reproduce standard_prior_static --data_dir=DIR

Published: -log p(x) 88.56 nats (from memory).
Protocol: as of vampprior_static, with p(z) = N(0, I).
Ours differs: as of vampprior_static.
"""

from configs.papers import burda_static_k1

PUBLISHED = {
    "metric": "nll",
    "value": 88.56,
    "is_verified": False,
    "source": "Tomczak & Welling (2018)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 60}


def get_config():
    config = burda_static_k1.get_config()
    config.vae.network = "gated_mlp"
    config.vae.hidden = (300, 300)
    config.vae.latent_dim = 40
    config.objective.beta_warmup_steps = 2500  # 20 epochs
    return config
