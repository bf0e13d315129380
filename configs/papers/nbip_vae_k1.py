"""The reproduction of Burda et al. (2016) by nbip/IWAE, 100 latents, K = 1, on dynamic MNIST.

    python -m experiments.reproduce nbip_vae_k1 --data_dir=DIR

Published: -log p(x) 86.35 nats (read in its README; one seed).
Protocol: 784-200-200-100, tanh; 60,000 training images, binarized anew for every minibatch.
Ours differs: SOAP as of burda_stl_k1; 59,600 training images; the KL in closed form.
"""

from configs.papers import _soap, burda_vae_k1

PUBLISHED = {
    "metric": "nll",
    "value": 86.35,
    "is_verified": True,
    "source": "nbip/IWAE",
    "is_same_protocol": False,
}
EXPECTED = {"minutes": 35}


def get_config():
    config = burda_vae_k1.get_config()
    config.vae.latent_dim = 100
    _soap.use_soap(config, num_epochs=150)
    return config
