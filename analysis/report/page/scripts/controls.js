/* The menus above the front: risk, colour, shape and size. */

import { $, h } from "./dom.js";
import { tell } from "./events.js";
import { ordinal } from "./marks.js";
import { chooseRisk } from "./selection.js";
import { data, state, title } from "./state.js";

export function drawControls() {
  const numeric = Object.keys(data.columns).filter((n) => data.columns[n].value.some((v) => typeof v === "number"));
  const named = (names) => [["", "none"], ...names.map((n) => [n, title(n)])];
  const style = (text, what, names) => menu(text, `${what}-menu`, named(names), state[what], (value) => restyle(what, value));
  $("controls").replaceChildren(
    menu("Risk", "risk-menu", data.risks.map((r) => [r.column, r.title]), state.risk, chooseRisk),
    style("Colour", "colour", [...new Set([...data.knobs, ...numeric])]),
    style("Shape", "symbol", data.knobs.filter(ordinal)),
    style("Size", "size", numeric));
}

export function menu(text, id, options, value, change) {
  const choose = h("select", { id, onchange: (e) => change(e.target.value) },
    options.map(([key, name]) => h("option", { value: key, selected: key === value }, name)));
  return h("label", {}, text, choose);
}

function restyle(what, value) {
  state[what] = value;
  tell("style");
}
