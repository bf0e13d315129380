"""draft"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.num_labels = 100
    config.vae.conditional = True
    config.objective.name = "semi_supervised"
    config.objective.classifier_weight = 30.0
    config.objective.beta = 3.0
    return config
