/* The table of all recipes, sorted by any column. */

import { $, h, known } from "./dom.js";
import { csvButton, everything } from "./export.js";
import { withInterval } from "./format.js";
import { frontOf } from "./pareto.js";
import { select } from "./selection.js";
import { column, data, risk, state, title, visible } from "./state.js";

export function drawRecipes() {
  const names = ["test_accuracy", "risk", ...["front_probability", "memorization", "train_seconds"].filter((n) => data.columns[n])];
  const order = sorted(visible());
  const front = new Set(frontOf(order));
  const limit = state.print ? order.length : state.rows;
  $("recipes").replaceChildren(
    h("div", { className: "head" }, h("h3", {}, `Recipes (${order.length})`), csvButton("recipes", everything)),
    h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Recipes" }, h("table", { id: "recipe-table" },
      h("thead", {}, h("tr", {}, header("label", "Recipe"), names.map((n) => header(n, title(n))), h("th", { className: "screen" }, ""))),
      h("tbody", {}, order.slice(0, limit).map((i) => row(i, names, front.has(i)))))),
    order.length > limit ? h("button", { className: "quiet", type: "button", onclick: () => { state.rows *= 4; drawRecipes(); } }, `Show more of ${order.length}`) : "",
    ...data.caveatLines.map((line) => h("p", { className: "note caveat" }, h("span", { className: "mind" }, "! "), line)),
    data.columns.front_probability ? h("p", { className: "note" }, probabilityNote()) : "");
}

function probabilityNote() {
  const of = risk.frontProbability ? risk.title : data.risks.find((r) => r.column === data.risk).title;
  return `The probability to be on the front is the share of bootstrap resamples of the seeds in which no recipe beats it (in ${of}).`;
}

function sorted(rows) {
  const [by, sign] = state.sort;
  const value = (i) => (by === "label" ? data.labels[i] : column(by)?.value[i]);
  return rows.sort((i, j) => !known(value(i)) - !known(value(j)) || sign * (value(i) > value(j) ? 1 : value(i) < value(j) ? -1 : 0));
}

function header(name, text) {
  const [by, sign] = state.sort;
  const sort = () => {
    state.sort = [name, by === name ? -sign : name === "risk" || name === "label" ? 1 : -1];
    drawRecipes();
  };
  const arrow = sign > 0 ? " ↑" : " ↓";
  return h("th", { className: name === "label" ? "" : "num", scope: "col", "aria-sort": by === name ? (sign > 0 ? "ascending" : "descending") : "none" },
    h("button", { type: "button", onclick: sort }, text + (by === name ? arrow : "")));
}

function row(i, names, ahead) {
  const id = data.ids[i];
  const probability = (n) => (n === "front_probability" && known(column(n).value[i]) ? meter(column(n).value[i]) : null);
  return h("tr", { className: "ab"[state.selected.indexOf(id)] ?? "" },
    h("td", {}, h("button", { className: "link", type: "button", onclick: (e) => select(id, e.shiftKey ? 1 : 0) }, data.labels[i]),
      ahead ? h("span", { className: "ci" }, "on the front") : null,
      data.caveats[i] ? h("abbr", { className: "mind", title: data.caveats[i] }, "!") : null),
    names.map((n) => h("td", { className: "num", "data-title": title(n) }, withInterval(n, i), probability(n))),
    h("td", { className: "num screen" }, h("button", { className: "quiet", type: "button", "aria-label": `Compare ${data.labels[i]}`, onclick: () => select(id, 1) }, "compare")));
}

const meter = (share) => h("span", { className: "meter", "aria-hidden": "true" }, h("i", { style: `width:${100 * share}%` }));
