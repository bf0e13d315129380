"""beta-VAE (Higgins et al., 2017) with beta = 2 on scikit-learn's embedded digits.

python -m experiments.train --config=configs/beta.py
"""

from configs import default


def get_config():
    config = default.get_config()
    config.objective.beta = 2.0
    return config
