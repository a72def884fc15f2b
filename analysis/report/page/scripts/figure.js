/* One figure: its traces put together as figures/compose.py does, and what is said below it. */

import { caption } from "./caption.js";
import { $, dot, h, paint } from "./dom.js";
import { clearPlot, plot } from "./plots.js";
import { resolve } from "./points.js";
import { selectedDetails } from "./selection.js";
import { data, labelOf, risk, state } from "./state.js";
import { choosePoint, present, walk } from "./view.js";

/** The figure's card, its plot still empty. */
export function card({ name, title: text, about, size, ofAllRecipes }) {
  const reached = ofAllRecipes ? { tabIndex: 0, role: "group", onkeydown: walk } : { role: "img" };
  const place = h("div", { className: `plot ${size}`, id: `panel-${name}`, "aria-label": `${text}. ${about}`, ...reached });
  return h("figure", { className: `card ${size}`, "data-panel": name }, h("h3", {}, text), place,
    h("p", { className: "facts-line num" }), h("p", { className: "note" }, about), h("figcaption", {}));
}

export async function drawFigure(panel) {
  const found = panel.ofRecipe ? await selectedDetails() : { ids: [], details: [] };
  if (!found) return;
  const { ids, details } = found;
  const slots = details.map((d, k) => paint(d?.traces[panel.name] ?? [], { slot: "@" + "ab"[k], "slot-soft": `@${"ab"[k]}-soft` }));
  const own = slots.flat().filter((t) => !t.meta || t.meta === risk.attack);
  const where = $(`panel-${panel.name}`);
  where.parentElement.querySelector("figcaption").replaceChildren(...captionOf(panel, ids, own));
  if (panel.ofRecipe && !own.length) return drawNothing(where, emptyBecause(panel, ids, details));
  if (where.querySelector(".empty")) where.replaceChildren();
  const told = slots.flatMap((traces, k) => traces.filter((t) => t.name && own.includes(t)).map((t) => h("span", { className: "fact" }, dot(k), t.name)));
  where.parentElement.querySelector(".facts-line").replaceChildren(...told);
  where.setAttribute("aria-label", [...spoken(panel, ids), ...told.map((f) => f.textContent)].join(". "));
  const traces = [...panel.backdrop.map((trace) => resolve(trace, present())), ...own];
  await plot(where, traces, { dragmode: false, ...panel.layout, uirevision: state.risk });
  if (panel.ofAllRecipes) listen(where);
}

function listen(where) {
  if (where.dataset.listening) return;
  where.dataset.listening = "yes";
  where.on("plotly_click", choosePoint);
}

function captionOf({ title: text, ofRecipe, ofAllRecipes, size }, ids, own) {
  const attack = own.some((t) => t.meta) ? risk.title.replace(/ (AUC|TPR|advantage|balanced).*/, "") : "";
  const about = ofAllRecipes && !ofRecipe ? risk.title : attack;
  return caption(text, [about, ids.map(labelOf).join(" and ")], size === "tall" ? data.caption : "");
}

/** A figure in words: what it shows, of which recipes, and what the keys do. */
function spoken({ title: text, about, ofRecipe, ofAllRecipes }, ids) {
  return [text, about.replace(/\.$/, ""), ...(ofRecipe ? ids.map(labelOf) : []),
    ...(ofAllRecipes ? ["Arrow keys select a recipe, with Shift they choose the one to compare"] : [])];
}

function drawNothing(where, why) {
  clearPlot(where);
  where.replaceChildren(h("div", { className: "empty" }, why));
  where.parentElement.querySelector(".facts-line").replaceChildren();
}

function emptyBecause({ empty, ofReference, name }, ids, details) {
  if (ofReference && ids.length === 1 && ids[0] === data.reference) return ofReference;
  const ofOtherAttacks = details.some((d) => d?.traces[name]?.some((t) => t.meta));
  if (ofOtherAttacks && !data.attacks.includes(risk.attack)) return `To keep the page small it has these curves for ${data.attacks.join(", ")} only; results/ has them all.`;
  return empty;
}
