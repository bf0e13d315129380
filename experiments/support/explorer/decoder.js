"use strict";

// The decoder of the model: the layers that decoder.py describes, in plain JavaScript. Sums are
// taken in float64, so that the means differ from JAX's by the rounding of JAX's float32 alone.
const Decoder = (() => {
  const sigmoid = (u) => 1 / (1 + Math.exp(-u));
  const softplus = (u) => Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u)));

  const ACTIVATIONS = {
    elu: (u) => (u > 0 ? u : Math.expm1(u)),
    gelu: (u) => 0.5 * u * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (u + 0.044715 * u ** 3))),
    relu: (u) => Math.max(u, 0),
    silu: (u) => u * sigmoid(u),
    tanh: Math.tanh,
  };

  // x W + b, with W stored row by row: all weights of an input stand together.
  function dense(layer, x, weights) {
    const { inputs, outputs, kernel, bias } = layer;
    const sums = new Float64Array(outputs);
    for (let i = 0; i < inputs; i++) {
      const start = kernel + i * outputs;
      for (let j = 0; j < outputs; j++) sums[j] += x[i] * weights[start + j];
    }
    if (bias !== null) for (let j = 0; j < outputs; j++) sums[j] += weights[bias + j];
    return sums;
  }

  function gated(layer, x, weights) {
    const values = dense(layer.of, x, weights);
    const gates = dense(layer.by, x, weights);
    return values.map((value, i) => value * sigmoid(gates[i]));
  }

  // Add x[row, column] w[k, l] to the outputs at one place, for all channels.
  function addTap(layer, x, weights, sums, pixel, tap, place) {
    const { inputs, outputs, kernel } = layer;
    for (let i = 0; i < inputs; i++) {
      const value = x[pixel * inputs + i];
      const start = kernel + (tap * inputs + i) * outputs;
      for (let j = 0; j < outputs; j++) sums[place * outputs + j] += value * weights[start + j];
    }
  }

  function startAtBias(layer, weights, pixels) {
    const sums = new Float64Array(pixels * layer.outputs);
    if (layer.bias === null) return sums;
    return sums.map((_, i) => weights[layer.bias + (i % layer.outputs)]);
  }

  // A transposed 4x4 convolution of stride 2: the output (2m + a, 2n + b) is the sum over d, e in
  // {0, 1} of x[m - 1 + a + d, n - 1 + b + e] w[a + 2d, b + 2e], as of vae_jax.fast.convolutions.
  function upsample(layer, x, weights) {
    const { height, width } = layer;
    const sums = startAtBias(layer, weights, 4 * height * width);
    for (let row = 0; row < 2 * height; row++) {
      for (let column = 0; column < 2 * width; column++) {
        const [a, b] = [row % 2, column % 2];
        for (let corner = 0; corner < 4; corner++) {
          const [d, e] = [corner >> 1, corner & 1];
          const r = (row >> 1) - 1 + a + d;
          const c = (column >> 1) - 1 + b + e;
          if (r < 0 || r >= height || c < 0 || c >= width) continue;
          const tap = (a + 2 * d) * 4 + b + 2 * e;
          addTap(layer, x, weights, sums, r * width + c, tap, row * 2 * width + column);
        }
      }
    }
    return sums;
  }

  // A 3x3 convolution that keeps the size of the image.
  function same(layer, x, weights) {
    const { height, width } = layer;
    const sums = startAtBias(layer, weights, height * width);
    for (let place = 0; place < height * width; place++) {
      for (let tap = 0; tap < 9; tap++) {
        const r = Math.floor(place / width) - 1 + Math.floor(tap / 3);
        const c = (place % width) - 1 + (tap % 3);
        if (r < 0 || r >= height || c < 0 || c >= width) continue;
        addTap(layer, x, weights, sums, r * width + c, tap, place);
      }
    }
    return sums;
  }

  function residual(layer, x, weights) {
    const change = run(layer.layers, x, weights);
    return x.map((value, i) => value + change[i]);
  }

  const LAYERS = { dense, gated, upsample, same, residual };

  function run(layers, x, weights) {
    let values = x;
    for (const layer of layers) {
      const activation = ACTIVATIONS[layer.kind];
      values = activation ? values.map(activation) : LAYERS[layer.kind](layer, values, weights);
    }
    return values;
  }

  function softmax(logits) {
    const largest = Math.max(...logits);
    const exponentials = Array.from(logits, (logit) => Math.exp(logit - largest));
    const total = exponentials.reduce((sum, each) => sum + each, 0);
    return exponentials.map((each) => each / total);
  }

  // The mean of the levels: the sum of P(X >= j) / (L - 1) over j = 1 .. L - 1.
  function discretizedLogisticMean([location, unbounded], { levels, floor }) {
    const scale = floor + softplus(unbounded);
    const last = levels - 1;
    let sum = 0;
    for (let j = 1; j <= last; j++) sum += sigmoid((location - (j - 0.5) / last) / scale);
    return sum / last;
  }

  function levelsMean(logits) {
    const last = logits.length - 1;
    return softmax(logits).reduce((sum, probability, j) => sum + (probability * j) / last, 0);
  }

  // 1 / (1 - exp(-l)) - 1 / l, which cancels near 0: a series there.
  function continuousBernoulliMean([logit]) {
    if (Math.abs(logit) > 0.05) return 1 / -Math.expm1(-logit) - 1 / logit;
    return 0.5 + logit / 12 - logit ** 3 / 720;
  }

  // The mean of one value, from the outputs for it.
  const MEANS = {
    first: ([output]) => output,
    logistic: ([logit]) => sigmoid(logit),
    exponential: ([logarithm]) => Math.exp(logarithm),
    continuous_bernoulli: continuousBernoulliMean,
    discretized_logistic: discretizedLogisticMean,
    levels: levelsMean,
  };

  // One-hot vectors of these sizes, one after the other.
  function softmaxMeans(outputs, sizes) {
    const means = [];
    for (let start = 0; start < outputs.length; ) {
      for (const size of sizes) {
        means.push(...softmax(outputs.slice(start, start + size)));
        start += size;
      }
    }
    return Float32Array.from(means);
  }

  function meansOf(outputs, mean) {
    if (mean.kind === "softmax") return softmaxMeans(outputs, mean.sizes);
    const count = mean.perValue;
    const means = new Float32Array(outputs.length / count);
    for (let i = 0; i < means.length; i++) {
      means[i] = MEANS[mean.kind](outputs.subarray(i * count, (i + 1) * count), mean);
    }
    return means;
  }

  // Return decode(z, label) -> the mean of p(x|z, y), flat, in the order of JAX.
  function make(described, weights, numClasses) {
    return (z, label) => {
      const oneHot = Array.from({ length: numClasses }, (_, y) => (y === label ? 1 : 0));
      const outputs = run(described.layers, Float64Array.from([...z, ...oneHot]), weights);
      const biased = outputs.map((output, i) => output + weights[described.bias + i]);
      return meansOf(biased, described.mean);
    };
  }

  return { make };
})();
