"""Two fields with a branch each, joined in one latent: the halves of the embedded digits.

python -m experiments.train --config=configs/halves.py
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.name = "digit_halves"
    config.vae.hidden = (100, 100)
    return config
