"""The encoder's pathwise gradient of the importance-weighted bound fades as K grows.

    python -m experiments.reproduce exact_snr_encoder --data_dir=DIR

Published: the signal-to-noise ratio is proportional to K^-0.5: Rainforth et al. (2018), Theorem 1.
Protocol: the slope of its logarithm against log K for K = 64, 256 and 1,024, over 1,000 parameters
of the encoder and 100 gradients of 20 test examples, of a model trained for 20 epochs.
Ours differs: digits and a nonlinear model; the paper's is linear-Gaussian, near its optimum.
"""

from configs import default
from experiments.support import exact

PUBLISHED = {
    "metric": "slope",
    "value": -0.5,
    "is_verified": True,
    "source": "Rainforth et al. (2018)",
}
EXPECTED = {"minutes": 5}


def get_config():
    config = default.get_config()
    config.num_seeds = 3
    config.training.num_epochs = 20
    return config


def measure(workdir, data_dir):
    return exact.slope_of_signal_to_noise(workdir, "pathwise", "encoder")
