"use strict";

// The first tab: a point z of the latent space, moved by sliders, on a map, along a line between
// two examples; and the mean of p(x|z) that the decoder makes of it.
const LatentSpace = (() => {
  const { byId, format, make } = Elements;

  // Start the tab and return what scripts may use of it: decode, state, setZ.
  function start(content) {
    const size = content.latents.length;
    const decode = Decoder.make(content.decoder, content.decoder.weights, content.numClasses);
    const rows = (flat) => (i) => flat.subarray(i * size, (i + 1) * size);
    const [code, draw, origin] = [content.codes, content.draws, content.origins].map(rows);
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
    let map = null;
    let isWaiting = false;

    // An example of another class than the first one's, where there are classes.
    function otherExample() {
      const other = content.labels.findIndex((y, i) => i < numImages && y !== content.labels[0]);
      return other > 0 ? other : Math.min(1, numImages - 1);
    }

    // What a latent is called, and how much it tells.
    function nameLatents({ name, unit }) {
      for (const latent of content.latents) {
        latent.name = `z${latent.index}`;
        latent.told = `${name} ${latent.amount.toFixed(2)} ${unit}`.trim();
      }
    }

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
      map?.showMarker();
      byId("position").value = state.position;
    }

    function showPicture(canvas, values) {
      Pictures.draw(canvas, Pictures.toHeights(values, content.picture), content.picture);
    }

    function showSliders() {
      state.z.forEach((value, d) => {
        byId(`slider-${d}`).value = value;
        byId(`value-${d}`).textContent = format(value, 2);
      });
    }

    // ---- sliders ----

    function makeSlider(latent, largest) {
      const d = latent.index;
      const row = make("div", { class: latent.isDead ? "slider dead" : "slider" });
      const label = make("label", { for: `slider-${d}` });
      label.append(make("b", {}, latent.name), make("span", { class: "muted" }, latent.told));
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
      byId("num-dead").textContent = `${dead.length} dead latent${dead.length === 1 ? "" : "s"}`;
      byId("order").textContent = content.amount.text;
    }

    // ---- two examples and the line between them ----

    function drawExample(canvas, i) {
      const { picture, images } = content;
      const bytes = images.subarray(i * picture.size, (i + 1) * picture.size);
      Pictures.draw(canvas, Float32Array.from(bytes, (byte) => byte / 255), picture);
    }

    function drawEnds() {
      const canvasOf = (end) => byId(`end-${end}`).querySelector("canvas");
      [0, 1].forEach((end) => drawExample(canvasOf(end), state.ends[end]));
    }

    function drawExamples() {
      byId("examples").querySelectorAll("canvas").forEach(drawExample);
      drawEnds();
    }

    function makeExamples() {
      for (let i = 0; i < numImages; i++) {
        const ofClass = content.labels.length ? `, class ${content.labels[i]}` : "";
        const label = `example ${i + 1}${ofClass}`;
        const button = make("button", { type: "button", "aria-label": label });
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
    nameLatents(content.amount);
    makeSliders();
    makeClasses();
    makeExamples();
    byId("map-panel").hidden = size < 2;
    if (size > 1) map = LatentMap.start(content, state, code, setDimension);
    show();
    return { decode, state, setZ, setLabel, redraw };
  }

  return { start };
})();
