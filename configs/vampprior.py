"""VampPrior (Tomczak & Welling, 2018) of scikit-learn's digits: gated layers, 100 pseudo-inputs.

    python -m experiments.train --config=configs/vampprior.py

Data: comes with scikit-learn. beta is that of the best -log p(x) of the validation set: 89.6, 86.0,
85.5 and 85.6 nats for beta = 1, 2, 3 and 4.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.vae.network = "gated_mlp"
    config.vae.prior = "vampprior"
    config.vae.num_components = 100
    config.objective.beta = 3.0
    config.objective.beta_warmup_steps = 1000
    config.training.num_epochs = 200
    return config
