"""Gumbel-Softmax of Jang et al. (2017): 20 variables of 10 classes, on static MNIST.

    python -m experiments.reproduce gumbel_softmax_20x10 --data_dir=DIR

Published: -ELBO 101.5 nats (from memory; whether its samples were discrete is not certain).
Protocol: one stochastic layer of 20 categorical variables of 10 classes.
Ours differs: the ELBO is that of discrete samples; the network is 784-200-200; the temperature
falls from 1 to .5; SOAP over 100 epochs, of which the best by the ELBO of the validation images.
"""

from configs.papers import burda_static_k1

PUBLISHED = {
    "metric": "elbo",
    "value": -101.5,
    "is_verified": False,
    "source": "Jang et al. (2017)",
    "is_same_protocol": False,
}
EXPECTED = {"minutes": 30}


def get_config():
    config = burda_static_k1.static_mnist(num_epochs=100)
    config.vae.posterior = "categorical"
    config.vae.prior = "uniform_categorical"
    config.vae.latent_dim = 20
    config.vae.num_classes = 10
    config.objective.name = "concrete"
    config.objective.temperature_decay = 5e-4
    return config
