"""The importance-weighted bound of Burda et al. (2016) with K = 5 on dynamically binarized MNIST.

    python -m experiments.train --config=configs/iwae.py --config.data.data_dir=DIR

The network and data (MNIST, prepared by tensorflow-datasets in DIR) of configs/elbo.py, for 50
epochs.
"""

from configs import elbo


def get_config():
    config = elbo.get_config()
    config.objective.name = "iwae"
    config.objective.num_samples = 5  # K
    config.training.num_epochs = 50
    return config
