"""beta-VAE on sprites."""

from configs import default

EXPECTED = {}


def get_config():
    config = default.get_config()
    config.data.name = "sprites"
    config.objective.beta = 4.0
    config.vae.hidden = (200, 200)
    config.vae.activation = "relu"
    config.optimizer.learning_rate = 1e-3
    config.training.batch_size = 64
    config.training.num_epochs = 1
    config.evaluation.num_samples = 100
    return config
