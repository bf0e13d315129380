"use strict";

// The map: two dimensions of the latent space, with the codes of examples and the point z, which
// moves to where the pointer is, or by the arrow keys.
const LatentMap = (() => {
  const { byId, make, makeSvg, onDrag } = Elements;
  const MAP = { size: 400, margin: 26 };
  const MOST_CODES = 500; // more hide each other
  const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };
  const PALETTE = [
    "#4e79a7", "#f28e2b", "#e15759", "#4aa39c", "#59a14f",
    "#c9a227", "#b07aa1", "#e377a0", "#9c755f", "#8a8f98",
  ];

  function colorOf(label, count) {
    if (label === undefined) return "var(--point)";
    return count <= PALETTE.length ? PALETTE[label] : `hsl(${(360 * label) / count} 60% 50%)`;
  }

  // The outermost whole numbers, and 0 where it is between them.
  function ticksOf({ low, high }) {
    const [first, last] = [Math.ceil(low), Math.floor(high)];
    return first < 0 && last > 0 ? [first, 0, last] : [first, last];
  }

  const makeTick = (x, y, anchor, tick) =>
    makeSvg("text", { x, y, "text-anchor": anchor }, String(tick));
  const makeName = (x, y, text) => makeSvg("text", { x, y, class: "name" }, text);

  // Start the map of z, which is state.z, on the two dimensions state.axes. code(i) is the code of
  // an example; setDimension(d, value) moves z.
  function start(content, state, code, setDimension) {
    const latentOf = Object.fromEntries(content.latents.map((each) => [each.index, each]));

    const scale = (d, isVertical) => {
      const { low, high } = latentOf[d];
      const [from, to] = [MAP.margin, MAP.size - MAP.margin / 2];
      const part = (value) => (value - low) / (high - low);
      const along = (value) => from + part(value) * (to - from);
      const toValue = (place) => low + ((place - from) / (to - from)) * (high - low);
      if (!isVertical) return { place: along, value: toValue };
      return { place: (v) => MAP.size - along(v), value: (place) => toValue(MAP.size - place) };
    };
    const scales = () => [scale(state.axes[0], false), scale(state.axes[1], true)];
    const placeOf = (z) => scales().map(({ place }, i) => place(z[state.axes[i]]));

    function draw() {
      const count = Math.min(MOST_CODES, content.codes.length / content.latents.length);
      byId("axes").replaceChildren(...makeAxes());
      byId("codes").replaceChildren(...Array.from({ length: count }, (_, i) => makeCode(i)));
      showMarker();
    }

    function makeAxes() {
      const [x, y] = scales();
      const [left, bottom] = [MAP.margin, MAP.size - MAP.margin];
      const [right, top] = [MAP.size - MAP.margin / 2, MAP.margin / 2];
      const ticks = (d) => ticksOf(latentOf[d]);
      const lines = [
        makeSvg("line", { x1: left, y1: bottom, x2: right, y2: bottom }),
        makeSvg("line", { x1: left, y1: bottom, x2: left, y2: top }),
      ];
      const below = ticks(state.axes[0]).map((tick) =>
        makeTick(x.place(tick), bottom + 16, "middle", tick),
      );
      const beside = ticks(state.axes[1]).map((tick) =>
        makeTick(left - 5, y.place(tick) + 4, "end", tick),
      );
      const named = state.axes.map((d) => latentOf[d].name);
      const names = [
        makeName((left + right) / 2 + 40, bottom + 16, `${named[0]} →`),
        makeName(left - 10, (top + bottom) / 2 - 40, `↑${named[1]}`),
      ];
      return [...lines, ...below, ...beside, ...names];
    }

    // A one-digit class is drawn as that digit, in its color; other codes are points.
    function makeCode(i) {
      const [x, y] = placeOf(code(i));
      const label = content.labels.length ? content.labels[i] : undefined;
      const fill = colorOf(label, content.numLabels);
      if (label === undefined || content.numLabels > 10) {
        return makeSvg("circle", { cx: x, cy: y, r: 2.5, style: `fill: ${fill}` });
      }
      return makeSvg("text", { x, y: y + 4, style: `fill: ${fill}` }, String(label));
    }

    function showMarker() {
      const [x, y] = placeOf(state.z);
      byId("marker").setAttribute("transform", `translate(${x} ${y})`);
      const [a, b] = state.ends.map((end) => placeOf(code(end)));
      const ends = { x1: a[0], y1: a[1], x2: b[0], y2: b[1] };
      for (const [key, value] of Object.entries(ends)) byId("between").setAttribute(key, value);
    }

    function moveOnMap(event) {
      const box = byId("map").getBoundingClientRect();
      const places = [
        ((event.clientX - box.left) / box.width) * MAP.size,
        ((event.clientY - box.top) / box.height) * MAP.size,
      ];
      scales().forEach(({ value }, i) => setOnMap(i, value(places[i])));
    }

    function setOnMap(axis, value) {
      const { low, high } = latentOf[state.axes[axis]];
      setDimension(state.axes[axis], Math.min(high, Math.max(low, value)));
    }

    function moveByKey(event) {
      if (!(event.key in ARROWS)) return;
      event.preventDefault(); // the page would scroll
      const [axis, sign] = ARROWS[event.key];
      const { low, high } = latentOf[state.axes[axis]];
      const step = ((high - low) / 60) * (event.shiftKey ? 5 : 1);
      setOnMap(axis, state.z[state.axes[axis]] + sign * step);
    }

    function makeChoice(id, axis) {
      for (const latent of content.latents) {
        const text = `${latent.name} (${latent.told})${latent.isDead ? ", dead" : ""}`;
        byId(id).append(make("option", { value: latent.index }, text));
      }
      byId(id).value = state.axes[axis];
      byId(id).addEventListener("change", () => {
        state.axes[axis] = Number(byId(id).value);
        draw();
      });
    }

    ["axis-x", "axis-y"].forEach(makeChoice);
    byId("map").addEventListener("keydown", moveByKey);
    onDrag(byId("map"), moveOnMap);
    draw();
    return { showMarker };
  }

  return { start };
})();
