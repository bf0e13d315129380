"""The VAE of Burda et al. (2016), K = 1, on the statically binarized MNIST of Larochelle.

    python -m experiments.reproduce burda_static_k1 --data_dir=DIR

Published: -log p(x) 88.71 nats (read in a reproduction that states it).
Protocol: as of burda_vae_k1, with the fixed binarization of 50,000 training images.
Ours differs: SOAP at 1e-2 with a cosine over 100 epochs of batches of 400; sticking-the-landing
gradients (Roeder et al., 2017), which lower -log p(x) of the validation images by .5 nats; the
parameters of the best ELBO on the 10,000 validation images, as the fixed images can be overfitted.
"""

from configs.papers import _soap, burda_vae_k1

PUBLISHED = {
    "metric": "nll",
    "value": 88.71,
    "is_verified": True,
    "source": "Burda et al. (2016)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 30}


def static_mnist(num_epochs):
    """Return the network of burda_vae_k1 on static MNIST, trained by SOAP for so many epochs."""
    config = burda_vae_k1.get_config()
    config.data.name = "binarized_mnist"
    config.training.patience = 5
    _soap.use_soap(config, num_epochs)
    return config


def get_config(num_epochs=100):
    config = static_mnist(num_epochs)
    config.objective.form = "log_weights"
    config.objective.estimator = "sticking_the_landing"
    return config
