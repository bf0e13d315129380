"""The plain ELBO on dynamically binarized MNIST with the network of Burda et al. (2016).

    python -m experiments.train --config=configs/elbo.py --config.data.data_dir=DIR

784-200-200-50, tanh, one sample of z, KL in closed form, batch 200, 150 epochs: about 5 minutes on
two cores. Data: MNIST, prepared by tensorflow-datasets in DIR.
"""

from configs import default


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
