"use strict";

// The first tab: a point z of the latent space, moved by sliders, on a map, along a line between
// two examples; and the mean of p(x|z) that the decoder makes of it.
const LatentSpace = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MOST_CODES = 500; // on the map: more hide each other
  const MAP = { size: 400, margin: 26 };
  const PALETTE = [
    "#4e79a7", "#f28e2b", "#e15759", "#4aa39c", "#59a14f",
    "#c9a227", "#b07aa1", "#e377a0", "#9c755f", "#8a8f98",
  ];

  const byId = (id) => document.getElementById(id);

  function make(tag, attributes = {}, text = "") {
    const isSvg = ["circle", "line", "text", "g", "rect"].includes(tag);
    const element = isSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  }

  function colorOf(label, count) {
    if (label === undefined) return "var(--point)";
    return count <= PALETTE.length ? PALETTE[label] : `hsl(${(360 * label) / count} 60% 50%)`;
  }

  // Start the tab and return what scripts may use of it: decode, state, setZ.
  function start(content) {
    const size = content.latents.length;
    const decode = Decoder.make(content.decoder, content.decoder.weights, content.numClasses);
    const rows = (flat) => (i) => flat.subarray(i * size, (i + 1) * size);
    const [code, draw, origin] = [content.codes, content.draws, content.origins].map(rows);
    const numCodes = content.codes.length / size;
    const numImages = content.images.length / content.picture.size;
    const state = {
      z: Array.from(code(0)),
      label: content.numClasses ? content.labels[0] : null,
      axes: content.latents.slice(0, 2).map((latent) => latent.index),
      ends: [0, otherExample()],
      chosenEnd: 0,
      position: 0,
      numDrawn: 0,
    };
    const latentOf = Object.fromEntries(content.latents.map((each) => [each.index, each]));
    let isWaiting = false;

    // An example of another class than the first one's, where there are classes.
    function otherExample() {
      const other = content.labels.findIndex((y, i) => i < numImages && y !== content.labels[0]);
      return other > 0 ? other : Math.min(1, numImages - 1);
    }

    const name = (d) => `z${d + 1}`;
    const { amount } = content;
    const amountOf = (latent) => `${amount.name} ${latent.amount.toFixed(2)} ${amount.unit}`.trim();

    // ---- moving ----

    function setZ(z) {
      state.z = Array.from(z);
      changed();
    }

    function setDimension(d, value) {
      state.z[d] = value;
      changed();
    }

    function setLabel(label) {
      if (!content.numClasses) return;
      state.label = label;
      byId(`class-${label}`).checked = true;
      changed();
    }

    function setPosition(position) {
      state.position = position;
      const [a, b] = state.ends.map(code);
      setZ(a.map((value, d) => (1 - position) * value + position * b[d]));
    }

    function setEnd(example) {
      const end = state.chosenEnd;
      state.ends[end] = example;
      drawEnds();
      if (content.numClasses) setLabel(content.labels[example]);
      setPosition(end);
      chooseEnd(1 - end);
    }

    function chooseEnd(end) {
      state.chosenEnd = end;
      [0, 1].forEach((i) => byId(`end-${i}`).setAttribute("aria-pressed", i === end));
    }

    // The next draw of the prior, of the chosen class where there is one.
    function drawFromPrior() {
      const isOfClass = (i) => !content.numClasses || content.drawLabels[i] === state.label;
      const all = [...content.drawLabels.keys()].filter(isOfClass);
      setZ(draw(all[state.numDrawn++ % all.length]));
    }

    // ---- showing ----

    // Several moves between two frames are drawn once.
    function changed() {
      if (isWaiting) return;
      isWaiting = true;
      requestAnimationFrame(() => {
        isWaiting = false;
        show();
      });
    }

    function show() {
      showPicture(byId("picture"), decode(state.z, state.label));
      showSliders();
      showMarker();
      byId("position").value = state.position;
    }

    function showPicture(canvas, values) {
      Pictures.draw(canvas, Pictures.toHeights(values, content.picture), content.picture);
    }

    function showSliders() {
      state.z.forEach((value, d) => {
        byId(`slider-${d}`).value = value;
        byId(`value-${d}`).textContent = Pictures.format(value, 2);
      });
    }

    // ---- sliders ----

    function makeSlider(latent, largest) {
      const d = latent.index;
      const row = make("div", { class: latent.isDead ? "slider dead" : "slider" });
      const label = make("label", { for: `slider-${d}` });
      label.append(make("b", {}, name(d)), make("span", { class: "muted" }, amountOf(latent)));
      const bar = make("span", { class: "amount" });
      bar.style.width = `${(90 * latent.amount) / largest}px`;
      label.append(bar, make("output", { id: `value-${d}`, for: `slider-${d}` }));
      const range = { type: "range", min: latent.low, max: latent.high, step: 0.01 };
      const input = make("input", { id: `slider-${d}`, ...range });
      input.addEventListener("input", () => setDimension(d, Number(input.value)));
      row.append(label, input);
      return row;
    }

    function makeSliders() {
      const largest = Math.max(...content.latents.map((latent) => latent.amount), 1e-6);
      const dead = content.latents.filter((latent) => latent.isDead);
      for (const latent of content.latents) {
        byId(latent.isDead ? "dead-sliders" : "sliders").append(makeSlider(latent, largest));
      }
      byId("dead").hidden = !dead.length;
      byId("num-dead").textContent = dead.length === 1 ? "1 dead latent" : `${dead.length} dead latents`;
      byId("order").textContent = amount.text;
    }

    // ---- the map ----

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

    function drawMap() {
      byId("axes").replaceChildren(...makeAxes());
      byId("codes").replaceChildren(...Array.from({ length: Math.min(MOST_CODES, numCodes) }, (_, i) => makeCode(i)));
      showMarker();
    }

    function makeAxes() {
      const [x, y] = scales();
      const [left, bottom] = [MAP.margin, MAP.size - MAP.margin];
      const [right, top] = [MAP.size - MAP.margin / 2, MAP.margin / 2];
      const ticks = (d) => ticksOf(latentOf[d]);
      const lines = [
        make("line", { x1: left, y1: bottom, x2: right, y2: bottom }),
        make("line", { x1: left, y1: bottom, x2: left, y2: top }),
      ];
      const below = ticks(state.axes[0]).map((tick) =>
        make("text", { x: x.place(tick), y: bottom + 16, "text-anchor": "middle" }, String(tick)),
      );
      const beside = ticks(state.axes[1]).map((tick) =>
        make("text", { x: left - 5, y: y.place(tick) + 4, "text-anchor": "end" }, String(tick)),
      );
      const named = state.axes.map(name);
      const names = [
        make("text", { x: (left + right) / 2 + 40, y: bottom + 16, class: "name" }, `${named[0]} →`),
        make("text", { x: left - 10, y: (top + bottom) / 2 - 40, class: "name" }, `↑${named[1]}`),
      ];
      return [...lines, ...below, ...beside, ...names];
    }

    // The outermost whole numbers, and 0 where it is between them.
    function ticksOf({ low, high }) {
      const [first, last] = [Math.ceil(low), Math.floor(high)];
      return first < 0 && last > 0 ? [first, 0, last] : [first, last];
    }

    // A one-digit class is drawn as that digit, in its color; other codes are points.
    function makeCode(i) {
      const [x, y] = placeOf(code(i));
      const label = content.labels.length ? content.labels[i] : undefined;
      const fill = colorOf(label, content.numLabels);
      if (label === undefined || content.numLabels > 10) {
        return make("circle", { cx: x, cy: y, r: 2.5, style: `fill: ${fill}` });
      }
      return make("text", { x, y: y + 4, style: `fill: ${fill}` }, String(label));
    }

    function showMarker() {
      if (size < 2) return;
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

    const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };

    function moveByKey(event) {
      if (!(event.key in ARROWS)) return;
      event.preventDefault(); // the page would scroll
      const [axis, sign] = ARROWS[event.key];
      const { low, high } = latentOf[state.axes[axis]];
      const step = ((high - low) / 60) * (event.shiftKey ? 5 : 1);
      setOnMap(axis, state.z[state.axes[axis]] + sign * step);
    }

    function makeMap() {
      byId("map-panel").hidden = size < 2;
      if (size < 2) return;
      ["axis-x", "axis-y"].forEach((id, i) => {
        for (const latent of content.latents) {
          const text = `${name(latent.index)} (${amountOf(latent)})${latent.isDead ? ", dead" : ""}`;
          byId(id).append(make("option", { value: latent.index }, text));
        }
        byId(id).value = state.axes[i];
        byId(id).addEventListener("change", () => {
          state.axes[i] = Number(byId(id).value);
          drawMap();
        });
      });
      const map = byId("map");
      map.addEventListener("keydown", moveByKey);
      map.addEventListener("pointerdown", (event) => {
        map.setPointerCapture(event.pointerId);
        moveOnMap(event);
      });
      map.addEventListener("pointermove", (event) => event.buttons && moveOnMap(event));
      drawMap();
    }

    // ---- two examples and the line between them ----

    function drawExample(canvas, i) {
      const bytes = content.images.subarray(i * content.picture.size, (i + 1) * content.picture.size);
      Pictures.draw(canvas, Float32Array.from(bytes, (byte) => byte / 255), content.picture);
    }

    function drawEnds() {
      [0, 1].forEach((end) => drawExample(byId(`end-${end}`).querySelector("canvas"), state.ends[end]));
    }

    function drawExamples() {
      byId("examples").querySelectorAll("canvas").forEach(drawExample);
      drawEnds();
    }

    function makeExamples() {
      for (let i = 0; i < numImages; i++) {
        const ofClass = content.labels.length ? `, class ${content.labels[i]}` : "";
        const button = make("button", { type: "button", "aria-label": `example ${i + 1}${ofClass}` });
        button.append(make("canvas"));
        button.addEventListener("click", () => setEnd(i));
        byId("examples").append(button);
      }
      [0, 1].forEach((end) => byId(`end-${end}`).addEventListener("click", () => chooseEnd(end)));
      byId("position").addEventListener("input", () => setPosition(Number(byId("position").value)));
      document.querySelectorAll(".origin").forEach((each) => (each.textContent = content.examples));
      drawExamples();
    }

    // ---- classes ----

    function makeClasses() {
      byId("classes").hidden = !content.numClasses;
      for (let y = 0; y < content.numClasses; y++) {
        const input = make("input", { type: "radio", name: "class", id: `class-${y}`, value: y });
        input.addEventListener("change", () => setLabel(y));
        const label = make("label", { for: `class-${y}` }, String(y));
        byId("classes").append(input, label);
      }
      if (content.numClasses) setLabel(state.label);
    }

    function redraw() {
      drawExamples();
      show();
    }

    byId("draw").addEventListener("click", drawFromPrior);
    byId("center").addEventListener("click", () => setZ(origin(state.label ?? 0)));
    byId("scale").textContent = content.picture.text ?? "";
    makeSliders();
    makeClasses();
    makeExamples();
    makeMap();
    show();
    return { decode, state, setZ, setLabel, redraw };
  }

  return { start };
})();
