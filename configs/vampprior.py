"""VampPrior (Tomczak & Welling, 2018) of scikit-learn's digits: gated layers, 100 pseudo-inputs.

    python -m experiments.train --config=configs/vampprior.py

Data: comes with scikit-learn. beta is that of the best -log p(x) of the validation set: 89.6, 86.0,
85.5 and 85.6 nats for beta = 1, 2, 3 and 4.

Test set, seed 0: -log p(x) 85.7 nats, ELBO -95.8 nats, in about 40 seconds on two cores.
"""

from configs import default

EXPECTED = {
    "nll": (85.7, 0.6),
    "elbo": (-95.8, 1.0),
    "kl": (12.2, 0.3),
    "active_units": (10, 0),
    "minutes": 0.6,
}


def get_config():
    config = default.get_config()
    config.vae.network = "gated_mlp"
    config.vae.prior = "vampprior"
    config.vae.num_components = 100
    config.objective.beta = 3.0
    config.objective.beta_warmup_steps = 1000
    config.training.num_epochs = 200
    return config
