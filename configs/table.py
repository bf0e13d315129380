"""scikit-learn's breast cancer table.

    python -m experiments.train --config=configs/table.py
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.name = "table"
    config.data.path = "sklearn://breast_cancer"
    config.vae.latent_dim = 10
    config.vae.hidden = (100,)
    config.training.num_epochs = 200
    return config
