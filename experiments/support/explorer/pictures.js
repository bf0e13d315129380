"use strict";

// Examples drawn on a canvas: images pixel by pixel, vectors as bars.
const Pictures = (() => {
  const clip = (value) => Math.min(1, Math.max(0, value));

  // The value at `low` becomes 0, that at `high` 1; both are numbers, or one for each column.
  function toHeights(values, { low, high }) {
    const at = (ends, i) => (Array.isArray(ends) ? ends[i] : ends);
    return Float32Array.from(values, (value, i) =>
      clip((value - at(low, i)) / (at(high, i) - at(low, i))),
    );
  }

  function drawImage(canvas, heights, { height, width, colors, channels }) {
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let pixel = 0; pixel < height * width; pixel++) {
      for (let color = 0; color < 3; color++) {
        const value = heights[pixel * channels + Math.min(color, colors - 1)];
        image.data[4 * pixel + color] = Math.round(255 * (value ?? 0));
      }
      image.data[4 * pixel + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  // Bars that go up or down from `start`, a part of the height.
  function drawBars(canvas, heights, { start }) {
    [canvas.width, canvas.height] = [400, 300];
    const style = getComputedStyle(document.documentElement);
    const context = canvas.getContext("2d");
    const pitch = canvas.width / heights.length;
    const line = canvas.height * (1 - start);
    heights.forEach((height, i) => {
      context.fillStyle = style.getPropertyValue(height < start ? "--down" : "--up");
      const top = canvas.height * (1 - height);
      const gap = pitch > 4 ? 1 : 0;
      context.fillRect(i * pitch, Math.min(top, line), pitch - gap, Math.abs(line - top));
    });
    context.fillStyle = style.getPropertyValue("--muted");
    context.fillRect(0, Math.min(line, canvas.height - 1), canvas.width, 1);
  }

  function draw(canvas, heights, picture) {
    (picture.kind === "bars" ? drawBars : drawImage)(canvas, heights, picture);
  }

  return { draw, toHeights };
})();
