"""The VAE of Burda et al. (2016), K = 1, on the statically binarized MNIST of Larochelle.

    python -m experiments.reproduce burda_static_k1 --data_dir=DIR

Published: -log p(x) 88.71 nats (read in a reproduction that states it).
Protocol: as of burda_vae_k1, with the fixed binarization of 50,000 training images.
Ours differs: as of burda_vae_k1, with 400 epochs and the parameters of the best ELBO on the 10,000
validation images, as the fixed images can be overfitted.
"""

from configs.papers import burda_vae_k1

PUBLISHED = {
    "metric": "nll",
    "value": 88.71,
    "is_verified": True,
    "source": "Burda et al. (2016)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 45}


def get_config():
    config = burda_vae_k1.get_config()
    config.data.name = "binarized_mnist"
    config.training.num_epochs = 400
    config.training.log_every_steps = 500  # an epoch
    config.training.patience = 5
    return config
