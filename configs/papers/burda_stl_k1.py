"""The VAE of Burda et al. (2016), K = 1, with sticking-the-landing gradients, on dynamic MNIST.

    python -m experiments.reproduce burda_stl_k1 --data_dir=DIR

Published: -log p(x) 86.76 nats with the plain gradient, Table 1 (read in a reproduction that states
it).
Protocol: as of burda_vae_k1.
Ours differs: SOAP at 1e-2 with a cosine over 150 epochs of batches of 400, not Adam; the ELBO by
log-weights, with the gradient of Roeder et al. (2017).
"""

from configs.papers import _soap, burda_vae_k1

PUBLISHED = burda_vae_k1.PUBLISHED
EXPECTED = {"minutes": 35}


def get_config():
    config = burda_vae_k1.get_config()
    config.objective.form = "log_weights"
    config.objective.estimator = "sticking_the_landing"
    _soap.use_soap(config, num_epochs=150)
    config.optimizer.update_every = 10
    return config
