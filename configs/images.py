"""Colour images, 8-bit, by convolutions: shapes on a ground, 24x24, rendered here.

    python -m experiments.train --config=configs/images.py

Data: 5,000 images, rendered in a second. Of one's own, a folder of images, or an npz of uint8
images (number, height, width, color):

    python -m experiments.train --config=configs/images.py --config.data.name=images \\
      --config.data.path=FOLDER --config.data.size=32
    python -m experiments.train --config=configs/images.py --config.data.name=npz \\
      --config.data.path=x.npz

Test set, seed 0: -log p(x) 5,127 nats by 100 samples, 4.28 bits per value, ELBO -5,154 nats;
without latents -log p(x) is 8,205 nats.
"""

from configs import default

EXPECTED = {
    "nll": (5127.0, 50.0),
    "elbo": (-5154.0, 50.0),
    "kl": (43.2, 2.0),
    "active_units": (10, 0),
    "minutes": 2.5,
}


def get_config():
    config = default.get_config()
    config.data.name = "shapes"
    config.data.size = 24
    config.vae.network = "conv"
    config.vae.activation = "relu"
    config.vae.hidden = (256,)
    config.vae.likelihood_scale = 0.05  # where training starts; from the default, .1: 5,151 nats
    config.training.batch_size = 50
    config.training.num_epochs = 60
    config.training.eval_every_epochs = 10
    config.training.checkpoint_every_epochs = 20
    config.evaluation.num_samples = 100
    return config
