"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, Vyas et al. (2024)."""

from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
import optax


class SoapState(NamedTuple):
    """What SOAP carries from step to step; `mean` and `square` are in the bases."""

    count: Any
    mean: Any
    square: Any
    grams: Any
    """For each parameter, running means of G G^T and G^T G: a tuple with one of each side that is
    rotated."""
    bases: Any
    """Orthogonal matrices of the same shapes, whose columns approach the grams' eigenvectors."""


def scale_by_soap(
    b1: float, b2: float, eps: float, update_every: int, largest_side: int
) -> optax.GradientTransformationExtraArgs:
    """Return the direction of SOAP, Algorithm 3 of Vyas et al. (2024).

    A matrix G of gradients is seen in the eigenbases of the running means of G G^T and G^T G, and
    Adam runs on what is seen there. Every `update_every` steps the bases are turned towards the
    eigenvectors by one power iteration and a QR decomposition; what Adam remembers of the mean
    gradient is turned with them. An array of more than two axes is a matrix whose columns are its
    last axis; vectors, and sides longer than `largest_side`, are not rotated.

    Two things differ from the paper: bases start as identity matrices, not as eigenvectors of the
    first gradient; and the first step is taken, not left out.

    The update takes `step`, the number of updates done, in which runs that are mapped over agree:
    only then a decomposition is computed just where it is due. Without it each run's own count
    serves.
    """

    def init(params):
        grams = jax.tree.map(lambda p: tuple(jnp.zeros((n, n)) for n in sides(p).values()), params)
        bases = jax.tree.map(lambda p: tuple(jnp.eye(n) for n in sides(p).values()), params)
        zeros = jax.tree.map(jnp.zeros_like, params)
        return SoapState(jnp.zeros([], jnp.int32), zeros, zeros, grams, bases)

    def sides(param):
        lengths = as_matrix(param).shape if param.ndim > 1 else ()
        return {axis: n for axis, n in enumerate(lengths) if n <= largest_side}

    def rotate(array, matrices):
        """Multiply each side of an array by the transpose of its matrix."""
        rotated = as_matrix(array) if matrices else array
        for axis, matrix in zip(sides(array), matrices, strict=True):
            rotated = matrix.T @ rotated if axis == 0 else rotated @ matrix
        return rotated.reshape(array.shape)

    def rotate_back(array, matrices):
        return rotate(array, [matrix.T for matrix in matrices])

    def add_gram(gradient, grams):
        matrix = as_matrix(gradient) if grams else gradient
        products = [
            matrix @ matrix.T if axis == 0 else matrix.T @ matrix for axis in sides(gradient)
        ]
        return tuple(b2 * old + (1 - b2) * new for old, new in zip(grams, products, strict=True))

    def turn(grams, bases, mean):
        """Return bases closer to the eigenvectors, and the mean gradient seen in these."""
        # Trees of grams and bases have the same leaves: one for each side.
        turned = jax.tree.map(lambda gram, basis: jnp.linalg.qr(gram @ basis)[0], grams, bases)
        turns = jax.tree.map(lambda old, new: old.T @ new, bases, turned)
        return turned, jax.tree.map(rotate, mean, turns)

    def update(gradients, state, params=None, *, step=None, **extra):
        del params, extra
        count = optax.safe_increment(state.count)
        seen = jax.tree.map(rotate, gradients, state.bases)
        mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mean, seen)
        square = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, state.square, seen)
        first, second = 1 - b1**count, 1 - b2**count
        direction = jax.tree.map(
            lambda m, v: (m / first) / (jnp.sqrt(v / second) + eps), mean, square
        )
        updates = jax.tree.map(rotate_back, direction, state.bases)
        grams = jax.tree.map(add_gram, gradients, state.grams)
        is_due = (count if step is None else step + 1) % update_every == 0
        keep = lambda grams, bases, mean: (bases, mean)  # noqa: E731
        bases, mean = jax.lax.cond(is_due, turn, keep, grams, state.bases, mean)
        return updates, SoapState(count, mean, square, grams, bases)

    return optax.GradientTransformationExtraArgs(init, update)


def as_matrix(array: Array) -> Array:
    """Return an array of two axes or more as a matrix whose columns are its last axis."""
    return array.reshape(-1, array.shape[-1])
