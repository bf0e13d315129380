"use strict";

// The second tab: a model whose log p(x) is known, p(z) = N(0, 1) and p(x|z) = N(w z, s^2), and an
// encoder q(z|x) = N(m, v). Everything is in nats.
const TradeOff = (() => {
  const { byId, format, makeSvg, onDrag } = Elements;
  const [V_LOW, V_HIGH] = [0.02, 5];
  const SPAN = 6; // nats below the uppermost that are shown at least in part
  const MARGIN = { left: 40, right: 12, top: 8, bottom: 26 };

  const square = (u) => u * u;
  const logNormal = (x, mean, variance) =>
    -0.5 * (Math.log(2 * Math.PI * variance) + square(x - mean) / variance);

  // The true posterior p(z|x) = N(mean, variance).
  function posterior({ x, w, s }) {
    const variance = 1 / (1 + square(w / s));
    return { mean: (variance * w * x) / square(s), variance };
  }

  // The q that is best for reconstruction - beta KL: that of a likelihood of variance beta s^2.
  function bestFor({ x, w, s, beta }) {
    return posterior({ x, w, s: s * Math.sqrt(beta) });
  }

  function terms(given) {
    const { x, m, v, w, s, beta } = given;
    const reconstruction = logNormal(x, w * m, s * s) - (square(w) * v) / (2 * square(s));
    const kl = 0.5 * (v + square(m) - 1 - Math.log(v));
    const p = posterior(given);
    const ratio = v / p.variance;
    return {
      reconstruction,
      kl,
      elbo: reconstruction - kl,
      objective: reconstruction - beta * kl,
      gap: 0.5 * (ratio + square(m - p.mean) / p.variance - 1 - Math.log(ratio)),
      logLikelihood: logNormal(x, 0, square(w) + square(s)),
    };
  }

  // ---- charts ----

  function describe({ mean, variance }) {
    return `N(${format(mean, 2)}, ${format(variance, 2)})`;
  }

  const spread = (low, high, count) =>
    Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));

  // Return functions from numbers to places on a chart of this size.
  function makeScales(svg, [xLow, xHigh], [yLow, yHigh]) {
    const width = svg.clientWidth || 560;
    const height = svg.clientHeight || 240;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [w, h] = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
    const part = (y) => Math.min(1, Math.max(0, (y - yLow) / (yHigh - yLow)));
    return {
      x: (x) => MARGIN.left + (w * (x - xLow)) / (xHigh - xLow),
      y: (y) => MARGIN.top + h * (1 - part(y)),
      toX: (place) => xLow + ((place - MARGIN.left) / w) * (xHigh - xLow),
    };
  }

  const isShown = (y, [low, high]) => y >= low && y <= high;

  // What lies beyond the chart is not drawn, instead of being squeezed to its edge.
  function makeCurve(scales, xs, ys, range, name) {
    let path = "";
    let isPenUp = true;
    xs.forEach((x, i) => {
      if (!isShown(ys[i], range)) {
        isPenUp = true;
        return;
      }
      path += `${isPenUp ? "M" : "L"}${scales.x(x).toFixed(1)} ${scales.y(ys[i]).toFixed(1)}`;
      isPenUp = false;
    });
    return makeSvg("path", { d: path, class: `curve ${name}` });
  }

  const makeDot = (cx, cy, name) => makeSvg("circle", { cx, cy, r: 5, class: name });

  function makeAxis(scales, xTicks, yTicks, [xLow, xHigh], [yLow, yHigh]) {
    const [left, right] = [scales.x(xLow), scales.x(xHigh)];
    const grid = yTicks.flatMap((y) => [
      makeSvg("line", { x1: left, x2: right, y1: scales.y(y), y2: scales.y(y), class: "grid" }),
      makeSvg("text", { x: left - 6, y: scales.y(y) + 4, "text-anchor": "end" }, String(y)),
    ]);
    const bottom = scales.y(yLow);
    const ticks = xTicks.map(([x, text]) =>
      makeSvg("text", { x: scales.x(x), y: bottom + 18, "text-anchor": "middle" }, text),
    );
    return [...grid, makeSvg("line", { x1: left, x2: right, y1: bottom, y2: bottom }), ...ticks];
  }

  function ticksOf([low, high]) {
    const step = [0.25, 0.5, 1, 2, 5, 10, 20].find((each) => (high - low) / each <= 6) ?? 50;
    const first = Math.ceil(low / step);
    const last = Math.floor(high / step);
    return spread(first * step, last * step, last - first + 1);
  }

  // Of curves that fall steeply only the uppermost nats are shown.
  const bottomOf = (curve) => Math.max(Math.min(...curve), Math.max(...curve) - SPAN);

  const LOG_TICKS = [0.02, 0.1, 0.5, 1, 5].map((v) => [Math.log10(v), String(v)]);

  // ---- the tab ----

  const SLIDERS = {
    v: { from: Math.log10(V_LOW), to: Math.log10(V_HIGH), isLog: true },
    m: { from: -3, to: 3 },
    x: { from: -4, to: 4 },
    beta: { from: -1, to: 1, isLog: true },
    w: { from: -2, to: 2 },
    s: { from: 0.2, to: 2 },
  };
  const FIRST = { v: 1, m: 0.8, x: 1.5, beta: 1, w: 1, s: 0.6 };

  function start() {
    const state = { ...FIRST };
    const range = [Math.log10(V_LOW), Math.log10(V_HIGH)];
    const steps = spread(...range, 241);

    function set(changes) {
      Object.assign(state, changes);
      state.v = Math.min(V_HIGH, Math.max(V_LOW, state.v));
      show();
    }

    function show() {
      showSliders();
      showNumbers();
      drawDensities();
      const alongV = steps.map((u) => terms({ ...state, v: 10 ** u }));
      drawBound(alongV);
      drawTerms(alongV);
    }

    function showSliders() {
      for (const [name, { isLog }] of Object.entries(SLIDERS)) {
        byId(name).value = isLog ? Math.log10(state[name]) : state[name];
        byId(`${name}-value`).textContent = format(state[name], 2);
      }
    }

    function showNumbers() {
      const now = terms(state);
      for (const [name, value] of Object.entries(now)) {
        document.querySelectorAll(`[data-term=${name}]`).forEach((each) => {
          each.textContent = format(value, 3);
        });
      }
      const [p, best] = [posterior(state), bestFor(state)];
      byId("posterior").textContent = describe(p);
      byId("best").textContent = describe(best);
    }

    // A vertical line through all charts over v, and a dot on each curve.
    function makeMarker(scales, yRange, now, names) {
      const x = scales.x(Math.log10(state.v));
      const line = { x1: x, x2: x, y1: scales.y(yRange[0]), y2: scales.y(yRange[1]), class: "now" };
      const dots = names
        .filter((name) => isShown(now[name], yRange))
        .map((name) => makeDot(x, scales.y(now[name]), `dot ${name}`));
      return [makeSvg("line", line), ...dots];
    }

    function drawBound(alongV) {
      const svg = byId("bound-chart");
      const [now, best] = [terms(state), bestFor(state)];
      const elbo = alongV.map((each) => each.elbo);
      const objective = alongV.map((each) => each.objective);
      const yRange = [Math.min(bottomOf(elbo), now.elbo) - 0.3, now.logLikelihood + 0.5];
      const scales = makeScales(svg, range, yRange);
      const log = steps.map(() => now.logLikelihood);
      const x = scales.x(Math.log10(state.v));
      const gap = { x1: x, x2: x, y1: scales.y(now.elbo), y2: scales.y(now.logLikelihood) };
      const top = terms({ ...state, v: best.variance }).objective;
      const peak = makeDot(scales.x(Math.log10(best.variance)), scales.y(top), "peak");
      svg.replaceChildren(
        ...makeAxis(scales, LOG_TICKS, ticksOf(yRange), range, yRange),
        makeCurve(scales, steps, elbo, yRange, "elbo"),
        makeCurve(scales, steps, objective, yRange, "objective"),
        makeCurve(scales, steps, log, yRange, "logLikelihood"),
        makeSvg("line", { ...gap, class: "gap-bar" }),
        ...makeMarker(scales, yRange, now, ["objective", "elbo", "logLikelihood"]),
        ...(isShown(top, yRange) ? [peak] : []),
      );
    }

    function drawTerms(alongV) {
      const svg = byId("terms-chart");
      const now = terms(state);
      const names = ["reconstruction", "kl", "gap"];
      const curves = names.map((name) => alongV.map((each) => each[name]));
      const [reconstruction, kl] = curves;
      const highest = Math.max(...reconstruction, ...kl, now.gap);
      const yRange = [bottomOf(reconstruction) - 0.3, highest + 0.3];
      const scales = makeScales(svg, range, yRange);
      svg.replaceChildren(
        ...makeAxis(scales, LOG_TICKS, ticksOf(yRange), range, yRange),
        ...names.map((name, i) => makeCurve(scales, steps, curves[i], yRange, name)),
        ...makeMarker(scales, yRange, now, names),
      );
    }

    function drawDensities() {
      const svg = byId("density-chart");
      const [zs, zRange] = [spread(-4, 4, 241), [-4, 4]];
      const p = posterior(state);
      const density = (mean, variance) => zs.map((z) => Math.exp(logNormal(z, mean, variance)));
      const named = {
        prior: density(0, 1),
        posterior: density(p.mean, p.variance),
        encoder: density(state.m, state.v),
      };
      // A narrow q may leave the chart: the other two curves should not shrink for it.
      const yRange = [0, 1.5 * Math.max(...named.prior, ...named.posterior)];
      const scales = makeScales(svg, zRange, yRange);
      const ticks = [-4, -2, 0, 2, 4].map((z) => [z, String(z)]);
      svg.replaceChildren(
        ...makeAxis(scales, ticks, [], zRange, yRange),
        ...Object.entries(named).map(([name, ys]) => makeCurve(scales, zs, ys, yRange, name)),
      );
    }

    // The charts over v are handles too: v goes to where the pointer is.
    function makeHandle(svg) {
      onDrag(svg, (event) => {
        const place = event.clientX - svg.getBoundingClientRect().left;
        set({ v: 10 ** makeScales(svg, range, [0, 1]).toX(place) });
      });
    }

    for (const [name, { from, to, isLog }] of Object.entries(SLIDERS)) {
      const input = byId(name);
      Object.assign(input, { min: from, max: to, step: 0.01 });
      input.addEventListener("input", () => {
        const value = Number(input.value);
        set({ [name]: isLog ? 10 ** value : value });
      });
    }
    byId("to-posterior").addEventListener("click", () => {
      const { mean, variance } = posterior(state);
      set({ m: mean, v: variance });
    });
    byId("to-best").addEventListener("click", () => {
      const { mean, variance } = bestFor(state);
      set({ m: mean, v: variance });
    });
    byId("to-start").addEventListener("click", () => set(FIRST));
    ["bound-chart", "terms-chart"].map(byId).forEach(makeHandle);
    new ResizeObserver(show).observe(byId("bound-chart"));
    show();
    return { state, set };
  }

  return { terms, posterior, bestFor, start };
})();
