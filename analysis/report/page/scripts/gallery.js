/* Who: the examples that the selected recipes memorize and expose most, and whom they help or harm. */

import { chunk } from "./chunks.js";
import { $, dot, h, known } from "./dom.js";
import { csvButton } from "./export.js";
import { selectedDetails } from "./selection.js";
import { data, labelOf, state } from "./state.js";

const GALLERIES = { memorized: "Most memorized", exposed: "Most exposed" };

export async function drawWho() {
  const message = (text) => h("div", { className: "card" }, h("p", { className: "muted" }, text));
  if (!data.showExamples) {
    $("who-body").replaceChildren(message("The spec says show_examples: false, so this page holds no examples, no labels and no pictures."));
    return;
  }
  const [pictures, found] = await Promise.all([chunk("pictures"), selectedDetails()]);
  if (!found) return;
  const cards = found.details.flatMap((d, slot) => Object.entries(d?.who ?? {}).map(([kind, examples]) => gallery(kind, examples, pictures, slot)));
  $("who-body").replaceChildren(...(cards.length ? cards : [message("The audit left no table of examples for this recipe.")]));
}

function gallery(kind, examples, pictures, slot) {
  const rows = () => examples.map(({ helps, harms, ...rest }) => ({ ...rest, helps: joined(helps), harms: joined(harms) }));
  return h("div", { className: "card gallery-card" },
    h("div", { className: "head" }, h("h3", {}, dot(slot), `${GALLERIES[kind]} by ${labelOf(state.selected[slot])}`), csvButton(`${kind}-${state.selected[slot]}`, rows)),
    h("div", { className: "gallery" }, examples.map((e) => example(e, pictures))));
}

const joined = (pairs) => (pairs ?? []).map((p) => `${p.test}:${p.influence}`).join(" ");
const named = (label, pictures) => pictures.classes[label] ?? `class ${label}`;

function example(e, pictures) {
  const shown = pictures.train[e.index];
  const { attack } = data.risks.find((r) => r.column === data.risk);
  const exposure = e[`risk_${attack}`];
  return h("div", { className: "example" },
    shown?.picture ? h("img", { src: shown.picture, alt: `Training example ${e.index}, labelled ${named(e.label, pictures)}` }) : null,
    shown?.features ? h("code", {}, `${shown.features} …`) : null,
    h("strong", {}, named(e.label, pictures)), h("span", { className: "muted" }, ` #${e.index}`),
    e.canary ? h("span", { className: "flag" }, " mislabelled canary") : null,
    h("p", { className: "num" }, `memorized ${known(e.memorization) ? e.memorization.toFixed(2) : "–"}`),
    known(exposure) ? h("p", { className: "num muted" }, `risk ${exposure.toFixed(2)}`) : null,
    touched("helps", e.helps, pictures), touched("harms", e.harms, pictures));
}

function touched(verb, pairs, pictures) {
  if (!pairs?.length) return null;
  return h("p", { className: "muted" }, `${verb} `, pairs.map(({ test, influence }) => {
    const shown = pictures.test[test];
    const text = `test point ${test}${shown ? `, ${named(shown.label, pictures)}` : ""}, influence ${influence}`;
    return shown?.picture ? h("img", { className: "mini", src: shown.picture, alt: text, title: text }) : h("span", { title: text }, `#${test} `);
  }));
}
