/* The figures that Python listed: placed in their sections, drawn when in view, the others while nothing else is to do. */

import { caption } from "./caption.js";
import { $, dot, h, paint } from "./dom.js";
import { tell } from "./events.js";
import { clearPlot, plot } from "./plots.js";
import { selectedDetails } from "./selection.js";
import { data, labelOf, risk, state } from "./state.js";

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

const panelOf = (name) => data.panels.find((panel) => panel.name === name);

export function placePanels() {
  watcher.disconnect();
  inView.clear();
  for (const place of document.querySelectorAll(".panels"))
    place.replaceChildren(...data.panels.filter(({ section }) => place.id === `${section}-panels`).map(card));
}

function card({ name, title: text, about, broad }) {
  const figure = h("figure", { className: `card${broad ? " broad" : ""}`, "data-panel": name }, h("h3", {}, text),
    h("div", { className: "plot", id: `panel-${name}`, role: "img", "aria-label": `${text}. ${about}` }),
    h("p", { className: "facts-line num" }), h("p", { className: "note" }, about), h("figcaption", {}));
  watcher.observe(figure);
  return figure;
}

/** Those in view at once, the others one by one when the browser has time, so that a page that is printed has them all. */
export function drawPanels() {
  for (const { name } of data.panels) stale.add(name);
  for (const name of inView) drawPanel(name);
  drawRest();
}

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

export async function drawPanel(name) {
  stale.delete(name);
  const { backdrop, layout, ofRecipe, title: text, about } = panelOf(name);
  const found = ofRecipe ? await selectedDetails() : { ids: [], details: [] };
  if (!found) return;
  const { ids, details } = found;
  const slots = details.map((d, k) => paint(d?.traces[name] ?? [], { slot: "@" + "ab"[k], "slot-soft": `@${"ab"[k]}-soft` }));
  const own = slots.flat().filter((t) => !t.meta || t.meta === risk.attack);
  const where = $(`panel-${name}`);
  const attack = own.some((t) => t.meta) ? risk.title.replace(/ (AUC|TPR|advantage|balanced).*/, "") : "";
  where.parentElement.querySelector("figcaption").replaceChildren(...caption(text, [attack, ids.map(labelOf).join(" and ")]));
  if (ofRecipe && !own.length) {
    clearPlot(where);
    where.replaceChildren(h("div", { className: "empty" }, emptyBecause(panelOf(name), ids, details)));
    where.parentElement.querySelector(".facts-line").replaceChildren();
    return;
  }
  if (where.querySelector(".empty")) where.replaceChildren();
  const told = slots.flatMap((traces, k) => traces.filter((t) => t.name && own.includes(t)).map((t) => h("span", { className: "fact" }, dot(k), t.name)));
  where.parentElement.querySelector(".facts-line").replaceChildren(...told);
  where.setAttribute("aria-label", [text, about, ...(ofRecipe ? ids.map(labelOf) : []), ...told.map((f) => f.textContent)].join(". "));
  await plot(where, [...backdrop.map(marked), ...own], { dragmode: false, ...layout });
}

/** Parallel coordinates with the selected recipes in their own colours: 0 dominated, 1 on the front, 2 and 3 selected. */
function marked(trace) {
  if (trace.type !== "parcoords") return trace;
  const slot = trace.customdata.map((id) => state.selected.indexOf(id));
  return { ...trace, line: { ...trace.line, color: trace.line.color.map((c, k) => (slot[k] < 0 ? c : 2 + slot[k])) } };
}

function emptyBecause({ empty, ofReference, name }, ids, details) {
  if (ofReference && ids.length === 1 && ids[0] === data.reference) return ofReference;
  const ofOtherAttacks = details.some((d) => d?.traces[name]?.some((t) => t.meta));
  if (ofOtherAttacks && !data.attacks.includes(risk.attack)) return `To keep the page small it has these curves for ${data.attacks.join(", ")} only; results/ has them all.`;
  return empty;
}
