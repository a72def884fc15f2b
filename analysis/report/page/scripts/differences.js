/* What an optimizer changes against the reference in every sweep: accuracy and the chosen risk, paired over seeds. */

import { $, h, known } from "./dom.js";
import { differenceOf } from "./format.js";
import { menu } from "./controls.js";
import { data, risk, state } from "./state.js";
import { plainTable } from "./tables.js";

const named = (optimizer) => optimizer.toUpperCase();

/** The optimizers that some sweep compares with its reference, SAM first. */
const compared = () => [...new Set(data.sweeps.flatMap((sweep) => sweep.pairs.map((pair) => pair.optimizer)))].sort((a, b) => (b === "sam") - (a === "sam") || (a > b ? 1 : -1));

export function drawDifferences() {
  const optimizers = compared();
  state.optimizer ??= optimizers[0];
  const rows = data.sweeps.flatMap((sweep, k) => sweep.pairs.filter((pair) => pair.optimizer === state.optimizer)
    .map((pair) => rowOf(sweep, risk.sweeps[k], pair)));
  const references = [...new Set(data.sweeps.flatMap((sweep) => sweep.pairs.map((pair) => pair.reference_optimizer)))];
  const choose = optimizers.length > 1 ? menu("Optimizer", "optimizer-menu", optimizers.map((o) => [o, o]), state.optimizer, (o) => { state.optimizer = o; drawDifferences(); }) : "";
  if (!rows.length) {
    $("differences").replaceChildren(h("p", { className: "muted" }, "No sweep has a recipe without defences beside a reference without any."));
    return;
  }
  $("differences").replaceChildren(h("div", { className: "controls" }, choose),
    ...plainTable("differences", `${named(state.optimizer)} − ${references.map(named).join(" or ")} by sweep`, rows, [
      ["sweep", "Sweep", (r) => [r.sweep, h("span", { className: "ci" }, [r.dataset, r.model].filter(Boolean).join(", "))]],
      ["recipe", "Recipe", (r) => [r.recipe, h("span", { className: "ci" }, `against ${r.reference}`)]],
      ["accuracy", "Test accuracy", (r) => told("test_accuracy", paired(r, "accuracy"))],
      ["risk", risk.title, (r) => told("risk", paired(r, "risk"))]]),
    ...lacking());
}

function rowOf(sweep, values, { recipe_id, label, reference }) {
  const found = { accuracy: sweep.differences[recipe_id], risk: values?.differences[recipe_id] };
  const columns = Object.entries(found).flatMap(([name, row]) =>
    ["difference", "low", "high", "p_adjusted"].map((end) => [end === "difference" ? name : `${name}_${end}`, row?.[end]]));
  return { sweep: sweep.name, dataset: sweep.dataset, model: sweep.model, recipe: label, reference, ...Object.fromEntries(columns) };
}

const paired = (row, name) => ({ difference: row[name], low: row[`${name}_low`], high: row[`${name}_high`], p_adjusted: row[`${name}_p_adjusted`] });
const told = (name, row) => (known(row.difference) ? differenceOf(name, row) : h("span", { className: "muted" }, "not compared"));

/** Sweeps that the table says nothing of. */
function lacking() {
  const missing = data.sweeps.filter((sweep) => !sweep.pairs.some((pair) => pair.optimizer === state.optimizer)).map((sweep) => sweep.name);
  return missing.length ? [h("p", { className: "note" }, `Without such a pair: ${missing.join(", ")}.`)] : [];
}
