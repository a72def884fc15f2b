/* How the sweep was run, what it cost, and what was left out. */

import { $, h, known } from "./dom.js";
import { copyButton, saveCsv } from "./export.js";
import { data } from "./state.js";
import { facts, flat, plainTable } from "./tables.js";
import { glossary } from "./words.js";

export function drawHow() {
  const tables = Object.entries(data.tables).filter(([name]) => name !== "claims");
  $("how-body").replaceChildren(h("div", { className: "stack" },
    glossary(),
    h("div", { className: "pair" },
      h("div", { className: "card" }, h("h3", {}, "The run"), run()),
      h("div", { className: "card" }, h("div", { className: "head" }, h("h3", {}, "The spec"), copyButton("Copy", data.spec)), h("pre", {}, data.spec))),
    h("div", { className: "card", id: "left-out" }, h("h3", {}, "Left out, and not resolvable"), leftOut()),
    h("div", { className: "card" }, failures()),
    tables.length ? h("div", { className: "card screen" }, h("div", { className: "head" }, h("h3", {}, "More tables"), tables.map(([name, rows]) =>
      h("button", { className: "quiet", type: "button", onclick: () => saveCsv(name, rows) }, `${name}.csv`)))) : ""));
}

function run() {
  const { about } = data;
  const context = about.context ?? {};
  const seconds = data.columns.train_seconds?.value.reduce((sum, v, i) => sum + (v ?? 0) * (data.columns.replicas?.value[i] ?? 0), 0);
  return facts([["Data set", context.dataset], ["Fingerprint", context.fingerprint], ["Model", context.model], ["Subsets", context.subsets], ["Queries an example", context.queries],
    ["Intervals", known(data.confidence) ? `${100 * data.confidence} %` : null], ["Recipes", data.ids.length], ["Replicas a recipe", about.seeds], ["Replicas in lockstep", about.stack],
    ["Training time, all replicas", seconds ? `${Number(seconds.toPrecision(3))} s` : null], ["Versions", about.versions], ["Hardware", about.hardware], ["Revision", about.git], ["Started", about.created]]);
}

function leftOut() {
  const all = (recipes) => recipes.length === data.ids.length;
  const of = (recipes) => (all(recipes) ? " (every recipe)" : recipes.length ? ` (${recipes.slice(0, 6).join("; ")}${recipes.length > 6 ? `; and ${recipes.length - 6} more` : ""})` : "");
  const items = data.leftOut.map(({ note, recipes }) => h("li", {}, note, h("span", { className: "muted" }, of(recipes))));
  return items.length ? h("ul", { className: "plainlist" }, items) : h("p", { className: "muted" }, "The audit left nothing out.");
}

function failures() {
  if (!data.failures.length) return [h("h3", {}, "Failures"), h("p", { className: "muted" }, "No trial of this sweep left a failure behind.")];
  const keys = [...new Set(data.failures.flatMap(Object.keys))];
  return plainTable("failures", `Failures (${data.failures.length})`, data.failures, keys.map((k) => [k, k, (r) => flat(r[k] ?? "–")]));
}
