"""The VAE of Burda et al. (2016), one stochastic layer, K = 1, on dynamically binarized MNIST.

    python -m experiments.reproduce burda_vae_k1 --data_dir=DIR

Published: -log p(x) 86.76 nats, Table 1 (read in a reproduction that states it).
Protocol: 784-200-200-50, tanh; 59,600 training images, binarized anew for every minibatch, 10,000
test images; 5,000 importance samples.
Ours differs: Adam at 1e-3 with a cosine to 1e-6 over 800 epochs of batches of 100, not 3,280 epochs
of batches of 20; the KL in closed form.
"""

from configs import elbo

PUBLISHED = {
    "metric": "nll",
    "value": 86.76,
    "is_verified": True,
    "source": "Burda et al. (2016)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 60}


def get_config():
    config = elbo.get_config()
    config.num_seeds = 3
    config.optimizer.learning_rate = 1e-3
    config.training.batch_size = 100
    config.training.num_epochs = 800
    config.training.log_every_steps = 596  # an epoch
    config.training.eval_every_epochs = 20
    config.training.checkpoint_every_epochs = 20
    return config
