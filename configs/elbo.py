"""The plain ELBO on dynamically binarized MNIST with the network of Burda et al. (2016).

    python -m experiments.train --config=configs/elbo.py --config.data.data_dir=DIR

784-200-200-50, tanh, one sample of z, KL in closed form, batch 200, 150 epochs. Data: MNIST,
prepared by tensorflow-datasets in DIR.

Test set, seed 0: -log p(x) 88.6 nats, ELBO -92.9 nats, in about 9 minutes on two cores, half of
them for -log p(x) by 5,000 importance samples. The paper has 86.76 nats after 3,280 epochs.
"""

from configs import default

# The tolerances are three times the spread over seeds, which is about .2 nats for -log p(x).
EXPECTED = {
    "nll": (88.6, 0.6),
    "elbo": (-92.9, 0.8),
    "kl": (25.5, 0.5),
    "active_units": (21, 2),
    "minutes": 9,
}


def get_config():
    config = default.get_config()
    config.data.name = "mnist"
    config.vae.latent_dim = 50
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 300
    config.training.batch_size = 200
    config.training.num_epochs = 150
    config.training.log_every_steps = 298
    config.training.eval_every_epochs = 5
    config.training.checkpoint_every_epochs = 25
    return config
