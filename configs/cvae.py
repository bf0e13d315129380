"""Conditional VAE (Sohn et al., 2015) of the embedded digits given their class, with p(z|y).

python -m experiments.train --config=configs/cvae.py

Test set, seed 0: -log p(x|y) 19.7 nats, in half a minute on two cores.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.vae.conditional = True
    config.vae.prior = "conditional_gaussian"
    return config
