"""An update of the parameters that waits for the backward pass."""

import jax
import optax


def plain_update_after_backward(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """Return the optimizer as it is."""
    return optimizer


def update_after_backward(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Return an optimizer with the same updates, which wait for the gradients of all biases.

    Unless an update waits for the backward pass, XLA first copies the weight that it changes, in
    case a product of that pass still needs it: a tenth of a training step at batch 20. The gradient
    of a bias needs all that came before its layer, but no product of its own.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def update(gradients, state, params=None, **extra):
        updates, new_state = optimizer.update(gradients, state, params, **extra)
        biases = [leaf for leaf in jax.tree.leaves(gradients) if leaf.ndim == 1]
        one = 1 + 0 * sum(bias[0] for bias in biases)
        return jax.tree.map(lambda u: one * u, updates), new_state

    return optax.GradientTransformationExtraArgs(optimizer.init, update)
