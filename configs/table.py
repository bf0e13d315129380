"""A table of mixed columns: scikit-learn's breast cancer table, 569 rows of 31 columns.

    python -m experiments.train --config=configs/table.py

Data: comes with scikit-learn (needs pandas: pip install 'vae_jax[tables]'). 24 columns are
log-normal, 6 Gaussian, and the diagnosis is a category; densities are those of the columns in their
own units. The number of epochs is that of the best ELBO of the validation rows: 15.6, 22.9 and 21.2
nats after 200, 400 and 800.

Test set, seed 0: -log p(x) -30.2 nats, ELBO 29.3 nats, in less than half a minute on two cores.
"""

from configs import default

EXPECTED = {
    "nll": (-30.2, 0.5),
    "elbo": (29.3, 0.5),
    "kl": (11.8, 0.3),
    "active_units": (10, 1),
    "minutes": 0.5,
}


def get_config():
    config = default.get_config()
    config.data.name = "table"
    config.data.path = "sklearn://breast_cancer"
    config.vae.hidden = (100,)
    return config
