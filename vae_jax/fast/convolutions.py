"""Convolutions that halve, double or keep the size of an image.

XLA's convolution on a CPU is some twenty times slower inside a loop, where training runs, than
outside, and slow under `jax.vmap` over weights. On a CPU, slices and one matrix product replace it;
accelerators use their own. Both give the same numbers from the same kernels.
"""

import jax
from jax import Array
import jax.numpy as jnp
from jaxtyping import Float


def downsample(
    x: Float[Array, "height width inputs"], kernel: Float[Array, "4 4 inputs outputs"]
) -> Float[Array, "half_height half_width outputs"]:
    """Convolve with stride 2 and padding "SAME"; both sides of x must be even.

    out[m, n] is the sum over k, l of x[2m - 1 + k, 2n - 1 + l] w[k, l].
    """
    return jax.lax.platform_dependent(
        x, kernel, cpu=downsample_by_product, default=plain_downsample
    )


def upsample(
    x: Float[Array, "height width inputs"], kernel: Float[Array, "4 4 inputs outputs"]
) -> Float[Array, "twice_height twice_width outputs"]:
    """Convolve, transposed, with stride 2 and padding "SAME", as `jax.lax.conv_transpose` does.

    out[2m + a, 2n + b] is the sum over d, e in {0, 1} of x[m - 1 + a + d, n - 1 + b + e] times
    w[a + 2d, b + 2e].
    """
    return jax.lax.platform_dependent(x, kernel, cpu=upsample_by_product, default=plain_upsample)


def same(
    x: Float[Array, "height width inputs"], kernel: Float[Array, "3 3 inputs outputs"]
) -> Float[Array, "height width outputs"]:
    """Convolve with stride 1 and padding "SAME".

    out[m, n] is the sum over k, l of x[m - 1 + k, n - 1 + l] w[k, l].
    """
    return jax.lax.platform_dependent(x, kernel, cpu=same_by_product, default=plain_same)


def plain_downsample(x, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x[None], kernel, (2, 2), "SAME", dimension_numbers=dimensions
    )[0]


def plain_upsample(x, kernel):
    return jax.lax.conv_transpose(x[None], kernel, (2, 2), "SAME")[0]


def plain_same(x, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x[None], kernel, (1, 1), "SAME", dimension_numbers=dimensions
    )[0]


_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def downsample_by_product(x, kernel):
    """Return what `plain_downsample` returns, as one product of the 2x2 blocks of the image.

    The image, padded, is blocks of 2x2 pixels, and each output sees four of them. Where the outputs
    are fewer numbers than the inputs, each block is multiplied with its taps for all four outputs
    that see it, which are then added up; elsewhere the four blocks are gathered first. What is not
    written to memory is the gain: 4 outputs per block, or 16 inputs.
    """
    height, width, num_inputs = x.shape
    h, w, num_outputs = height // 2, width // 2, kernel.shape[-1]
    blocks = jnp.pad(x, ((1, 1), (1, 1), (0, 0))).reshape(h + 1, 2, w + 1, 2, num_inputs)
    blocks = blocks.transpose(0, 2, 1, 3, 4).reshape(h + 1, w + 1, 4 * num_inputs)
    kernel = kernel.reshape(2, 2, 2, 2, num_inputs, num_outputs)  # block and pixel, by row, column
    if num_outputs < 3 * num_inputs:
        taps = kernel.transpose(1, 3, 4, 0, 2, 5).reshape(4 * num_inputs, 4 * num_outputs)
        # Parts of a split, not slices: their gradients are joined, not added up.
        parts = jnp.split(blocks @ taps, 4, axis=-1)
        return sum(part[d : d + h, e : e + w] for part, (d, e) in zip(parts, _CORNERS, strict=True))
    patches = jnp.concatenate([blocks[d : d + h, e : e + w] for d, e in _CORNERS], axis=-1)
    taps = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(16 * num_inputs, num_outputs)
    return patches @ taps


def upsample_by_product(x, kernel):
    """Return what `plain_upsample` returns, as one product of the four pixels around each corner.

    Each corner between pixels, the image's edges included, gives a block of 2x2 outputs, whose
    outermost rows and columns are cut off.
    """
    height, width, num_inputs = x.shape
    num_outputs = kernel.shape[-1]
    if num_outputs == 1:
        return _upsample_to_grey(x, kernel)
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    pixels = jnp.concatenate(
        [padded[d : d + height + 1, e : e + width + 1] for d, e in _CORNERS], axis=-1
    )
    # The first row of a block has a = 1: it belongs to the pixels above the corner.
    taps = kernel.reshape(2, 2, 2, 2, num_inputs, num_outputs)[:, ::-1, :, ::-1]
    taps = taps.transpose(0, 2, 4, 1, 3, 5).reshape(4 * num_inputs, 4 * num_outputs)
    blocks = (pixels @ taps).reshape(height + 1, width + 1, 2, 2, num_outputs)
    outputs = blocks.transpose(0, 2, 1, 3, 4).reshape(2 * height + 2, 2 * width + 2, num_outputs)
    return outputs[1:-1, 1:-1]


def _upsample_to_grey(x, kernel):
    # With one output channel, the sixteen products per pixel are fewer numbers than the inputs of
    # its neighbours: half the time of gathering those.
    height, width, _ = x.shape
    taps = jnp.split(jnp.einsum("hwi,klio->klhwo", x, kernel).reshape(16, height, width, 1), 16)

    def shifted(tap, i, j):  # out[m, n] = tap[m + i, n + j], or 0 outside
        return jax.lax.pad(tap[0], jnp.zeros((), tap.dtype), ((-i, i, 0), (-j, j, 0), (0, 0, 0)))

    def outputs_of(a, b):
        return sum(
            shifted(taps[4 * (a + 2 * d) + b + 2 * e], a + d - 1, b + e - 1)
            for d in (0, 1)
            for e in (0, 1)
        )

    rows = [jnp.concatenate([outputs_of(a, 0), outputs_of(a, 1)], axis=-1) for a in (0, 1)]
    return jnp.stack(rows, axis=1).reshape(2 * height, 2 * width, 1)


def same_by_product(x, kernel):
    """Return what `plain_same` returns, as one product of each pixel's nine neighbours."""
    height, width, num_inputs = x.shape
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    neighbours = [padded[k : k + height, m : m + width] for k in range(3) for m in range(3)]
    return jnp.concatenate(neighbours, axis=-1) @ kernel.reshape(9 * num_inputs, -1)
