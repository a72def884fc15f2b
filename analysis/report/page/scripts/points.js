/* Traces whose points are recipes, with the values of those that are looked at; the rules of figures/points.py. */

import { known, plain } from "./dom.js";
import { undominated } from "./pareto.js";
import { data } from "./state.js";

const SPECIAL = ["text", "label", "mark", "side", "slot", "standing"];

/** The value with every string "$name" replaced by fill(name). */
function filled(value, fill) {
  if (Array.isArray(value)) return value.map((item) => filled(item, fill));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, fill)]));
  return typeof value === "string" && value[0] === "$" ? fill(value.slice(1)) : value;
}

/** The columns that a trace names, its objectives among them. */
function namedColumns(trace) {
  const found = new Set(Object.keys(trace.objectives ?? {}));
  filled(trace, (name) => found.add(name.replace(/[+-]$/, "")));
  return [...found].filter((name) => !SPECIAL.includes(name));
}

/** The trace with its recipes' values. `view` has: ids, labels, rows (those shown), chosen (rows by slot), marks
 *  (row -> why), column(name), text(row) and look(rows). */
export function resolve(trace, view) {
  if (!trace.recipes) return trace;
  const { recipes, objectives, order, look, ...plotly } = trace;
  const columns = namedColumns(trace).map(view.column);
  const shown = view.rows.filter((i) => columns.every((c) => known(c?.value[i])));
  const front = objectives ? undominated(shown, view.column, objectives) : [];
  const there = new Set(shown);
  const rows = { shown, front, marked: [...view.marks.keys()], chosen: view.chosen }[recipes].filter((i) => there.has(i));
  const values = valuesOf(view, shown, front);
  if (order) {
    const by = new Map(rows.map((i, k) => [i, values(order, rows)[k]]));
    rows.sort((i, j) => by.get(i) - by.get(j));
  }
  const out = { ...filled(plotly, (name) => values(name, rows)), ids: rows.map((i) => view.ids[i]) };
  return look ? { ...out, marker: { ...out.marker, ...view.look(rows) } } : out;
}

/** (name, rows) -> what "$name" stands for. */
function valuesOf(view, shown, front) {
  const onFront = new Set(front);
  const barred = new Set(shown.length <= data.mostBars ? shown : [...front, ...view.chosen, ...view.marks.keys()]);
  const slot = (i) => view.chosen.indexOf(i);
  const special = {
    text: view.text,
    label: (i) => plain(view.labels[i]),
    mark: (i) => view.marks.get(i),
    side: (i) => `bottom ${inRightHalf(i, view, shown) ? "left" : "right"}`,
    slot: (i) => "@" + "ab"[slot(i)],
    standing: (i) => (slot(i) < 0 ? Number(onFront.has(i)) : 2 + slot(i)),
  };
  return (name, rows) => {
    if (SPECIAL.includes(name)) return rows.map(special[name]);
    const { value, low, high } = view.column(name.replace(/[+-]$/, ""));
    const end = { "+": high, "-": low }[name.at(-1)];
    if (/[+-]$/.test(name)) return rows.map((i) => (barred.has(i) && known(end?.[i]) ? Math.abs(end[i] - value[i]) : null));
    return rows.map((i) => (typeof value[i] === "string" ? plain(value[i]) : value[i]));
  };
}

/** There words go left of their point, so that they stay inside. */
function inRightHalf(i, view, shown) {
  const { value } = view.column("risk");
  const all = shown.map((k) => value[k]);
  return value[i] > (Math.min(...all) + Math.max(...all)) / 2;
}
