/* The selected recipe, or two beside each other with their paired differences. */

import { $, dot, h, known } from "./dom.js";
import { copyButton, csvButton } from "./export.js";
import { differenceOf, signed, withInterval } from "./format.js";
import { remember } from "./links.js";
import { clearCompared, selectedDetails } from "./selection.js";
import { column, data, place, state, title } from "./state.js";

const figureOf = (name) => (name === "risk" ? state.risk : name);

export async function drawCompare() {
  const found = await selectedDetails();
  if (!found) return;
  const { ids, details } = found;
  const rows = ids.map((id) => place.get(id));
  const two = ids.length === 2;
  const paired = two && pairedWith(details, ids);
  const shown = metricsShown(rows);
  const knobs = knobsOf(details);
  const note = (text) => h("p", { className: "note" }, text);
  $("compare").replaceChildren(
    h("div", { className: "head" }, h("h3", {}, two ? "Two recipes compared" : "Selected recipe"),
      copyButton("Copy link", () => { remember(); return location.href; }), csvButton("comparison", () => sheet(shown, rows, ids))),
    h("div", { className: "scroll" }, h("table", { id: "compare-table" }, head(ids, rows, details),
      h("tbody", {}, shown.map((name) => metricRow(name, rows, paired)), knobs.differing.map((knob) => knobRow(knob, details, two))))),
    two && shown.some((name) => paired.found(figureOf(name))) ? note("Differences with intervals are paired over shared subset seeds. Each p allows for all recipes compared with the reference (Holm), the interval for this one alone: it may leave out 0 where p does not.") : "",
    knobs.common.length ? note(`Training: ${knobs.common.join(", ")}.`) : "",
    two ? "" : note("Shift-click a point, or press “compare” in the table, to set another beside it."));
}

function metricsShown(rows) {
  const names = ["test_accuracy", "risk", ...Object.keys(data.columns).filter((n) => n !== "test_accuracy" && !data.knobs.includes(n) && n !== "optimizer")];
  return names.filter((n) => rows.some((i) => known(column(n).value[i])));
}

/** Knobs that vary over the sweep or between the two, and the others as text. */
function knobsOf(details) {
  const all = [...new Set(details.flatMap((d) => Object.keys(d?.knobs ?? {})))];
  const differ = (knob) => data.knobs.includes(knob) || new Set(details.map((d) => String(d?.knobs?.[knob]))).size > 1;
  return { differing: all.filter(differ), common: all.filter((knob) => !differ(knob)).map((knob) => `${knob} ${details[0].knobs[knob]}`) };
}

function head(ids, rows, details) {
  const buttons = (slot) => h("div", {}, copyButton("Copy spec", details[slot]?.snippet ?? ""),
    slot ? h("button", { className: "quiet", type: "button", onclick: clearCompared, "aria-label": "Stop comparing" }, "✕") : null);
  const cells = ids.map((id, slot) => h("th", { className: "slot num", scope: "col" }, h("span", {}, dot(slot), data.labels[rows[slot]]), buttons(slot)));
  return h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), cells, ids.length === 2 ? h("th", { className: "num", scope: "col" }, "Difference, first − second") : null));
}

const metricRow = (name, rows, paired) => h("tr", {}, h("td", {}, title(name)), rows.map((i) => h("td", { className: "num" }, withInterval(name, i))),
  paired ? h("td", { className: "num difference" }, paired(figureOf(name), name, rows)) : null);

const knobRow = (knob, details, two) => h("tr", {}, h("td", { className: "muted knob" }, knob),
  details.map((d) => h("td", { className: "num" }, known(d?.knobs?.[knob]) ? String(d.knobs[knob]) : "–")), two ? h("td", {}) : null);

const sheet = (shown, rows, ids) => shown.map((name) => Object.assign({ figure: figureOf(name) }, ...rows.map((i, slot) =>
  Object.fromEntries(["value", "low", "high"].map((end) => [`${end} of ${data.labels[i]} (${ids[slot]})`, column(name)[end]?.[i]])))));

/** Differences: paired over shared seeds where the audit compared the two, else of the two estimates. */
function pairedWith(details, ids) {
  const found = [[details[0], ids[1], 1], [details[1], ids[0], -1]].map(([d, other, sign]) =>
    [new Map((d?.comparisons ?? []).filter((c) => c.reference_id === other).map((c) => [c.figure, c])), sign]);
  const of = (figure) => found.find(([map]) => map.has(figure)) ?? [];
  return Object.assign(difference, { found: (figure) => of(figure).length > 0 });

  function difference(figure, name, rows) {
    const [table, sign] = of(figure);
    if (!table) {
      const [x, y] = rows.map((i) => column(name).value[i]);
      return typeof x === "number" && typeof y === "number" ? h("span", { className: "muted" }, signed(name, x - y)) : "";
    }
    return differenceOf(name, table.get(figure), sign);
  }
}
