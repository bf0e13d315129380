"""The encoder's doubly reparameterized gradient sharpens as K grows.

    python -m experiments.reproduce exact_snr_dreg --data_dir=DIR

Published: the signal-to-noise ratio is proportional to K^0.5, as that of the decoder: Tucker et al.
(2019).
Protocol: Section 4 of Rainforth et al. (2018): a linear-Gaussian model of 20 dimensions, .01 off
its optimum; the slope of log signal-to-noise against log K, of 20 derivatives of the encoder.
Ours differs: K = 64 and 512, 400 gradients each; the signal is the mean of the doubly
reparameterized gradient, whose noise is the smallest; three draws of data and parameters.
"""

from experiments.support import exact

PUBLISHED = {
    "metric": "slope",
    "value": 0.5,
    "is_verified": True,
    "source": "Tucker et al. (2019)",
    "is_same_protocol": True,
}
EXPECTED = {"minutes": 1}


def measure(workdir, data_dir):
    return exact.slope_of_signal_to_noise("doubly_reparameterized", "encoder")
