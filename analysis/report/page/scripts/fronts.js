/* A front a sweep, side by side; a recipe has one colour and one shape in all of them. */

import { caption } from "./caption.js";
import { $, h, known, plain, range } from "./dom.js";
import { tell } from "./events.js";
import { between, form } from "./format.js";
import { clearPlot, plot } from "./plots.js";
import { resolve } from "./points.js";
import { data, risk, state } from "./state.js";

const GLYPHS = ["●", "■", "◆", "▲", "✚", "✖", "★", "⬢"];

/** What colours stand for: each recipe, where there are few enough to tell apart, else each optimizer. */
const groups = () => (data.labels.length <= data.palette.length ? data.labels : data.optimizers);
const groupOf = (sweep, i) => groups().indexOf(groups() === data.labels ? sweep.labels[i] : sweep.optimizers[i]);
const of = (list, k) => list[k % list.length];

export function placeFronts() {
  $("fronts").replaceChildren(...data.sweeps.map(({ name, dataset, model }, k) => h("figure", { className: "card" },
    h("h3", {}, name), h("p", { className: "note" }, [dataset && `data set ${dataset}`, model && `model ${model}`].filter(Boolean).join(", ")),
    h("div", { className: "plot", id: `front-${k}`, tabIndex: 0, role: "group" }), h("figcaption", {}))));
  $("legend").replaceChildren(...groups().map((name, k) =>
    h("span", {}, h("i", { className: "glyph", style: `color:${of(data.palette, k)}`, "aria-hidden": "true" }, of(GLYPHS, k)), " ", name)));
}

export async function drawFronts() {
  for (const [k, sweep] of data.sweeps.entries()) await drawOne($(`front-${k}`), sweep, risk.sweeps[k]);
}

async function drawOne(where, sweep, values) {
  where.parentElement.querySelector("figcaption").replaceChildren(...caption("Accuracy against risk", [risk.title], "", sweep.caption));
  const rows = values ? values.value.flatMap((v, i) => (known(v) && known(sweep.accuracy.value[i]) ? [i] : [])) : [];
  if (!rows.length) {
    clearPlot(where);
    where.replaceChildren(h("div", { className: "empty" }, `The audit of this sweep has no ${risk.title}.`));
    return;
  }
  if (where.querySelector(".empty")) where.replaceChildren();
  where.setAttribute("aria-label", `${sweep.name}: test accuracy against ${risk.title} of ${rows.length} recipes, ${values.front.length} of them on the front. Arrow keys go from recipe to recipe.`);
  await plot(where, sweep.front.map((trace) => resolve(trace, viewOf(sweep, values))), data.layout);
  if (where.dataset.listening) return;
  where.dataset.listening = "yes";
  where.on("plotly_click", ({ points }) => known(points[0]?.id) && choose(points[0].id));
}

/** What `points.js` resolves a sweep's traces for: recipes are told by their labels, which all sweeps share. */
function viewOf(sweep, values) {
  const columns = { risk: values, test_accuracy: sweep.accuracy };
  const look = (rows) => ({ color: rows.map((i) => of(data.palette, groupOf(sweep, i))), symbol: rows.map((i) => of(data.symbols, groupOf(sweep, i))) });
  return { ids: sweep.labels, labels: sweep.labels, rows: range(sweep.labels.length), chosen: sweep.labels.flatMap((label, i) => (label === state.selected[0] ? [i] : [])),
    marks: new Map(), column: (name) => columns[name], text: (i) => hoverOf(sweep, values, i), look };
}

function hoverOf(sweep, values, i) {
  const told = (name, title, { value, low, high }) => `${plain(title)} ${form(name, value[i])}` +
    (known(low?.[i]) ? ` (${between(form(name, low[i], value[i]), form(name, high[i], value[i]))})` : "");
  return [`<b>${plain(sweep.labels[i])}</b>`, told("test_accuracy", "test accuracy", sweep.accuracy), told("risk", risk.title, values)].join("<br>");
}

/** The recipe that is ringed in every front. */
function choose(label) {
  state.selected = [label];
  $("chosen").textContent = `Ringed: ${label}`;
  tell("selection");
}

/** Arrow keys go through the recipes of the front that has the focus, by rising risk. */
export function walkLabels(event) {
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  const k = data.sweeps.findIndex((_, n) => $(`front-${n}`) === event.target);
  const values = risk.sweeps[k];
  if (!step || !values) return;
  event.preventDefault();
  const rows = values.value.flatMap((v, i) => (known(v) ? [i] : [])).sort((i, j) => values.value[i] - values.value[j]);
  const labels = rows.map((i) => data.sweeps[k].labels[i]);
  choose(labels[(labels.indexOf(state.selected[0]) + step + labels.length) % labels.length]);
}
