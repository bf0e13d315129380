"""Semi-supervised VAE, M2 of Kingma et al. (2014): scikit-learn's digits, of which 100 have a label."""

from configs import default


def get_config():
    config = default.get_config()
    config.data.num_labels = 100  # ten of each class; 1,158 training digits have none
    config.vae.conditional = True
    config.objective.name = "semi_supervised"
    config.objective.beta = 3.0
    config.objective.classifier_weight = 100.0
    config.training.num_epochs = 100
    config.training.eval_every_epochs = 10
    return config
