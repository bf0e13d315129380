"""The importance-weighted bound of Burda et al. (2016) with K = 5 on dynamically binarized MNIST.

    python -m experiments.train --config=configs/iwae.py --config.data.data_dir=DIR

The network and data (MNIST, prepared by tensorflow-datasets in DIR) of configs/elbo.py, for 50
epochs.

Test set, seed 0: -log p(x) 89.5 nats, ELBO -96.9 nats (the bound that is trained is tighter), in
about 9 minutes on two cores, half of them for -log p(x) by 5,000 importance samples. The paper has
85.54 nats after 3,280 epochs.
"""

from configs import elbo

# The tolerances are three times the spread over seeds, which is about .2 nats for -log p(x).
EXPECTED = {
    "nll": (89.5, 0.6),
    "elbo": (-96.9, 1.0),
    "kl": (23.0, 0.5),
    "active_units": (24, 2),
    "minutes": 9,
}


def get_config():
    config = elbo.get_config()
    config.objective.name = "iwae"
    config.objective.num_samples = 5  # K
    config.training.num_epochs = 50
    return config
