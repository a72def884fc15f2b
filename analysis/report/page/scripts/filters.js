/* Which recipes are shown: check boxes for a knob with few values, two numbers for one with many. */

import { $, h, unset } from "./dom.js";
import { tell } from "./events.js";
import { remember } from "./links.js";
import { distinct, ordinal } from "./marks.js";
import { data, keeps, state, title } from "./state.js";

const GLYPHS = ["●", "■", "◆", "▲", "✚", "✖", "★", "⬢"];
const MOST_BOXES = 12;

export function drawFilters() {
  const knobs = [...data.knobs, ...(data.columns.epsilon && !data.knobs.includes("epsilon") && distinct("epsilon").length > 1 ? ["epsilon"] : [])];
  $("filter-body").replaceChildren(...knobs.map((knob) =>
    h("fieldset", {}, h("legend", {}, title(knob)), distinct(knob).length <= MOST_BOXES ? chips(knob) : limits(knob))));
}

/** One check box a value: unchecking hides the recipes that have it. */
function chips(knob) {
  const levels = distinct(knob);
  const boxes = levels.map((value) => h("input", { type: "checkbox", checked: keeps(state.filters[knob], value), onchange: apply, "data-knob": knob }));
  return h("div", { className: "chips" }, levels.map((value, k) => h("label", { className: "chip" }, boxes[k], glyph(knob, k), unset(value) ? "none" : String(value))));
  function apply() {
    const hide = levels.filter((_, k) => !boxes[k].checked);
    setFilter(knob, hide.length ? { hide } : null);
  }
}

/** The k-th value's mark on the front, where colour or shape stands for this knob. */
function glyph(knob, k) {
  const coloured = knob === state.colour && ordinal(knob);
  if (!coloured && knob !== state.symbol) return null;
  const colour = coloured ? data.palette[k % data.palette.length] : "currentColor";
  return h("span", { className: "glyph", style: `color:${colour}`, "aria-hidden": "true" }, GLYPHS[knob === state.symbol ? k % GLYPHS.length : 0]);
}

/** Two numbers for a knob with many values. */
function limits(knob) {
  const values = data.columns[knob].value.filter((v) => typeof v === "number");
  const ends = state.filters[knob]?.ends ?? [Math.min(...values, 0), Math.max(...values)];
  const inputs = ends.map((end, k) => h("input", { type: "number", step: "any", value: end, onchange: apply, "aria-label": `${title(knob)} ${k ? "at most" : "at least"}` }));
  return h("div", { className: "range" }, inputs[0], "to", inputs[1]);
  function apply() {
    setFilter(knob, { ends: inputs.map((input) => Number(input.value)) });
  }
}

function setFilter(knob, filter) {
  if (filter) state.filters[knob] = filter;
  else delete state.filters[knob];
  remember();
  tell("filter");
}
