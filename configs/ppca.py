"""A linear VAE on data whose maximum likelihood is known in closed form: probabilistic PCA.

    python -m experiments.train --config=configs/ppca.py

No hidden layers and a Gaussian with one learned sigma make the VAE the model of Tipping & Bishop
(1999), of which the data set is drawn. Data: 5,000 draws in 20 dimensions, made here.

Training set, seed 0: log p(x), which a linear decoder has in closed form, is 0.0005 nats below its
maximum of -20.1126 nats, and the ELBO 0.005. Test set: -log p(x) 20.00 nats, ELBO -20.00 nats, in
less than half a minute on two cores.
"""

from configs import default

EXPECTED = {
    "nll": (20.00, 0.03),
    "elbo": (-20.00, 0.03),
    "kl": (5.57, 0.05),
    "active_units": (5, 0),
    "minutes": 0.5,
}


def get_config():
    config = default.get_config()
    config.data.name = "ppca"
    config.vae.hidden = ()
    config.vae.latent_dim = 5
    # Its gradients have no noise where q(z|x) is the exact posterior.
    config.objective.estimator = "sticking_the_landing"
    config.optimizer.learning_rate = 3e-2
    config.training.batch_size = 500
    config.training.num_epochs = 500
    return config
