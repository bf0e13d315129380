"use strict";

// Making and finding elements of the page.
const Elements = (() => {
  function fill(element, attributes, text) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  }

  const make = (tag, attributes = {}, text = "") =>
    fill(document.createElement(tag), attributes, text);

  const makeSvg = (tag, attributes, text = "") =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, text);

  // While a button or finger is down on an element, move(event) is called of where it is.
  function onDrag(element, move) {
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      move(event);
    });
    element.addEventListener("pointermove", (event) => event.buttons && move(event));
  }

  // A number with so many digits, without the sign of a zero.
  const format = (value, digits) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");

  return { byId: (id) => document.getElementById(id), format, make, makeSvg, onDrag };
})();
