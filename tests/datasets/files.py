"""Files of one's own arrays."""

import numpy as np


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return str(path)
