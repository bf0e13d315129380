"use strict";

// The page: what it holds is read, both tabs are started.
(() => {
  const TYPES = { f: Float32Array, i: Int32Array, u: Uint8Array };

  // Arrays stand in the JSON as {type, base64}; all else is as it is.
  function revive(_, value) {
    if (value === null || typeof value !== "object" || !("base64" in value)) return value;
    const bytes = Uint8Array.from(atob(value.base64), (character) => character.charCodeAt(0));
    return new TYPES[value.type](bytes.buffer);
  }

  function readContent() {
    const content = JSON.parse(document.getElementById("content").textContent, revive);
    const { picture, decoder } = content;
    // Bytes of one example: a value per byte, whether it is an image or a vector.
    picture.size = decoder.size / decoder.mean.perValue;
    return content;
  }

  function makeTabs() {
    const tabs = [...document.querySelectorAll("[role=tab]")];
    const choose = (chosen) => {
      for (const tab of tabs) {
        tab.setAttribute("aria-selected", tab === chosen);
        tab.tabIndex = tab === chosen ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
      }
    };
    tabs.forEach((tab, i) => {
      tab.addEventListener("click", () => choose(tab));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = tabs[(i + step + tabs.length) % tabs.length];
        choose(next);
        next.focus();
      });
    });
  }

  makeTabs();
  const explorer = LatentSpace.start(readContent());
  const tradeOff = TradeOff.start();
  // What is drawn on a canvas has the colors of the theme at that time.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", explorer.redraw);
  window.explorer = explorer;
  window.tradeOff = { ...TradeOff, ...tradeOff };
})();
