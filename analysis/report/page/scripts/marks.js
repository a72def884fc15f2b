/* How a recipe's point looks: colour, shape and size by any knob, and what it says. */

import { plain, unset } from "./dom.js";
import { form, interval } from "./format.js";
import { column, data, state, title } from "./state.js";

export const distinct = (name) => [...new Set(data.columns[name].value)].sort((x, y) => unset(y) - unset(x) || (x > y ? 1 : -1));
export const ordinal = (name) => name && (name === "optimizer" || distinct(name).length <= data.symbols.length);

const levelled = (name, rows, scale) => {
  const levels = distinct(name);
  return rows.map((i) => scale[levels.indexOf(data.columns[name].value[i]) % scale.length]);
};

function colours(rows) {
  if (!state.colour) return { color: "@a" };
  if (ordinal(state.colour)) return { color: levelled(state.colour, rows, data.palette) };
  const values = column(state.colour).value.map((v) => v ?? 0);
  return { color: rows.map((i) => values[i]), cmin: Math.min(...values), cmax: Math.max(...values), colorscale: "Cividis", showscale: true,
    colorbar: { title: { text: plain(title(state.colour)), side: "right" }, thickness: 10, outlinewidth: 0 } };
}

function sizes(rows) {
  if (!state.size) return data.ids.length > 400 ? { size: 7 } : {};
  const values = column(state.size).value.map((v) => v ?? 0);
  const top = Math.max(...values) || 1;
  return { size: rows.map((i) => 7 + 13 * Math.sqrt(Math.max(values[i], 0) / top)) };
}

/** What the reader's menus make of Plotly's marker for these rows. */
export function encode(rows) {
  const shape = ordinal(state.symbol) ? { symbol: levelled(state.symbol, rows, data.symbols) } : {};
  return { ...colours(rows), ...shape, ...sizes(rows) };
}

/** The recipe, its accuracy and the risk by name, each with its interval. */
export function hover(i) {
  const line = (name) => {
    const ends = interval(name, i);
    return `${plain(title(name))} ${form(name, column(name).value[i])}${ends && ` (${ends})`}`;
  };
  return [`<b>${plain(data.labels[i])}</b>`, line("test_accuracy"), line("risk")].join("<br>");
}
