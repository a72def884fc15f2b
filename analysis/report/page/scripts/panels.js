/* The figures that Python listed: placed in their sections, drawn when in view, the others while nothing else is to do. */

import { tell } from "./events.js";
import { card, drawFigure } from "./figure.js";
import { data } from "./state.js";

const stale = new Set(); // names of panels that must be drawn again
const inView = new Set();
const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 50));
let waiting = false;

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const { panel } = target.dataset;
    if (isIntersecting) inView.add(panel);
    else inView.delete(panel);
    if (isIntersecting && stale.has(panel)) drawPanel(panel);
  }
}, { rootMargin: "400px" });

/** A tall figure leads its page and is always drawn at once. */
export function placePanels() {
  watcher.disconnect();
  inView.clear();
  for (const place of document.querySelectorAll(".panels"))
    place.replaceChildren(...data.panels.filter(({ section }) => place.id === `${section}-panels`).map(card));
  for (const { name, size } of data.panels)
    if (size === "tall") inView.add(name);
    else watcher.observe(document.querySelector(`[data-panel="${name}"]`));
}

/** Those in view at once, the others one by one when the browser has time, so that a page that is printed has them all. */
export function drawPanels(which = () => true) {
  const names = data.panels.filter(which).map(({ name }) => name);
  for (const name of names) stale.add(name);
  for (const name of names) if (inView.has(name)) drawPanel(name);
  drawRest();
}

/** A figure that was drawn while it was folded away has no size yet. */
export function drawOnUnfolding() {
  document.addEventListener("toggle", ({ target }) => {
    if (!target.open || !target.matches(".fold")) return;
    for (const figure of target.querySelectorAll("[data-panel]")) stale.add(figure.dataset.panel);
    drawRest();
  }, true);
}

/** Those whose points are recipes. */
export const drawRecipePanels = () => drawPanels(({ ofAllRecipes }) => ofAllRecipes);

function drawRest() {
  if (waiting || !stale.size) return;
  waiting = true;
  idle(async () => {
    const [name] = stale;
    if (name) await drawPanel(name);
    waiting = false;
    if (stale.size) drawRest();
    else tell("drawn");
  });
}

function drawPanel(name) {
  stale.delete(name);
  return drawFigure(data.panels.find((panel) => panel.name === name));
}
