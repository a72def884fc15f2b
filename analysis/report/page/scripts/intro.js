/* The first screen: what the sweep is, what to mind, and the recipes that stand for it. */

import { $, h, known, range } from "./dom.js";
import { withInterval } from "./format.js";
import { select } from "./selection.js";
import { data, resolved, risk } from "./state.js";

export function drawIntro() {
  const { dataset, model } = data.about.context ?? {};
  $("name").textContent = data.name;
  $("lead").textContent = [`${data.ids.length} training recipes`, data.about.seeds && `${data.about.seeds} replicas each`, dataset?.name && `data set ${dataset.name}`, model?.name && `model ${model.name}`].filter(Boolean).join(" · ") +
    ". How accurate is each, and how much does it tell about who was in its training set?";
  drawCaution();
  $("tiles").replaceChildren(...tiles().map(([i, text]) => tile(i, text)));
}

/** That an attack needs queries or data which the sweep does not record says nothing of the figures shown. */
function drawCaution() {
  const [gravest, ...more] = data.leftOut.filter(({ note }) => !/: left out, it needs /.test(note));
  $("caution").hidden = !gravest;
  if (gravest) $("caution").replaceChildren(`Mind: ${gravest.note}. `, more.length ? h("a", { href: "#left-out" }, `And ${more.length} more`) : "");
}

/** Rows and what they stand for, a recipe that stands for several once. */
function tiles() {
  const accuracy = data.columns.test_accuracy.value;
  const rows = range(data.ids.length);
  const best = rows.reduce((i, j) => ((accuracy[j] ?? -1) > (accuracy[i] ?? -1) ? j : i), 0);
  const least = resolved(rows).filter((i) => known(risk.reference) && accuracy[i] >= accuracy[risk.reference]).sort((i, j) => risk.value[i] - risk.value[j])[0];
  const merged = new Map();
  for (const [text, i] of [["Reference", risk.reference], ["Most accurate", best], ["Best balance on the front", risk.knee], ["Leaks least, as accurate as the reference", least]])
    if (known(i)) merged.set(i, merged.has(i) ? `${merged.get(i)}; ${text.toLowerCase()}` : text);
  return [...merged];
}

function tile(i, text) {
  const metric = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("button", { className: "tile", type: "button", onclick: () => select(data.ids[i]) }, h("small", {}, text), h("b", {}, data.labels[i]),
    h("dl", {}, metric("accuracy", withInterval("test_accuracy", i)), metric(risk.title, withInterval("risk", i))),
    data.caveats[i] ? h("span", { className: "caveat" }, data.caveats[i]) : null);
}
