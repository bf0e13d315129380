def make_coupling(*a, **k):
    raise NotImplementedError


def make_inverse_autoregressive(*a, **k):
    raise NotImplementedError
