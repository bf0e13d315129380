"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, Vyas et al. (2024)."""

from typing import Any, NamedTuple

import jax
from jax import Array
import jax.numpy as jnp
import optax

from vae_jax.fast.adam import scale_by_adam


class SoapState(NamedTuple):
    """What SOAP carries from step to step."""

    adam: optax.ScaleByAdamState
    """Adam's averages, of gradients seen in the bases."""
    grams: Any
    """For each parameter G, running means of {"rows": G G^T, "columns": G^T G}, without the sides
    that are not rotated."""
    bases: Any
    """Orthogonal matrices of the same shapes, whose columns approach the grams' eigenvectors."""


def scale_by_soap(
    b1: float, b2: float, eps: float, update_every: int, largest_side: int
) -> optax.GradientTransformationExtraArgs:
    """Return the direction of SOAP, Algorithm 3 of Vyas et al. (2024).

    A matrix G of gradients is seen in the eigenbases of the running means of G G^T and G^T G, and
    Adam runs on what is seen there. Every `update_every` steps the bases are turned towards the
    eigenvectors by one power iteration and a QR decomposition; Adam's average of gradients is
    turned with them. An array of more than two axes is a matrix whose columns are its last axis;
    vectors, and sides longer than `largest_side`, are not rotated.

    Two things differ from the paper: bases start as identity matrices, not as eigenvectors of the
    first gradient; and the first step is taken, not left out.

    The update takes `step`, the number of updates done before. Under vmap it should be one number
    for all runs: then the decompositions are computed only in the steps where they are due. Without
    `step`, each run's own count is used.
    """
    adam = scale_by_adam(b1, b2, eps)

    def init(params):
        grams = jax.tree.map(lambda param: _zeros(param, largest_side), params)
        bases = jax.tree.map(lambda gram: jnp.eye(len(gram)), grams)
        return SoapState(adam.init(params), grams, bases)

    def update(gradients, state, params=None, *, step=None, **extra):
        del params, extra
        seen = jax.tree.map(_rotate, gradients, state.bases)
        direction, moments = adam.update(seen, state.adam)
        updates = jax.tree.map(_rotate_back, direction, state.bases)
        grams = jax.tree.map(_products, gradients, state.grams)
        grams = jax.tree.map(lambda old, new: b2 * old + (1 - b2) * new, state.grams, grams)
        is_due = (moments.count if step is None else step + 1) % update_every == 0
        keep = lambda grams, bases, mean: (bases, mean)  # noqa: E731
        bases, mean = jax.lax.cond(is_due, _turn, keep, grams, state.bases, moments.mu)
        return updates, SoapState(moments._replace(mu=mean), grams, bases)

    return optax.GradientTransformationExtraArgs(init, update)


def _turn(grams, bases, mean):
    """Return bases closer to the eigenvectors, and the average of gradients seen in these."""
    turned = jax.tree.map(lambda gram, basis: jnp.linalg.qr(gram @ basis)[0], grams, bases)
    turns = jax.tree.map(lambda old, new: old.T @ new, bases, turned)
    return turned, jax.tree.map(_rotate, mean, turns)


def _zeros(param, largest_side):
    """Return a square matrix of zeros for each side of a parameter that is rotated."""
    sides = dict(zip(("rows", "columns"), _as_matrix(param).shape, strict=True))
    is_matrix = param.ndim > 1
    return {
        side: jnp.zeros((length, length))
        for side, length in sides.items()
        if is_matrix and length <= largest_side
    }


def _products(gradient, grams):
    """Return the outer products G G^T and G^T G of those sides that `grams` has."""
    matrix = _as_matrix(gradient)
    return {side: matrix @ matrix.T if side == "rows" else matrix.T @ matrix for side in grams}


def _rotate(array, bases):
    """Return an array as it is seen in the bases of its sides."""
    matrix = _as_matrix(array)
    if "rows" in bases:
        matrix = bases["rows"].T @ matrix
    if "columns" in bases:
        matrix = matrix @ bases["columns"]
    return matrix.reshape(array.shape)


def _rotate_back(array, bases):
    """Undo `_rotate`."""
    return _rotate(array, {side: basis.T for side, basis in bases.items()})


def _as_matrix(array: Array) -> Array:
    """Return an array as a matrix whose columns are its last axis; a vector is one row."""
    return array.reshape(-1, array.shape[-1] if array.ndim else 1)
