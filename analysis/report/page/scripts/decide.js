/* Two sliders that name the recipe to take; the rule of `flatleak recommend` (analysis/recommend.py). */

import { $, h, known, range } from "./dom.js";
import { form, withInterval } from "./format.js";
import { select } from "./selection.js";
import { column, data, risk, state, title } from "./state.js";

/** Recipes whose estimate keeps a limit, best first by the other objective, then by this one; `sure`: their whole interval does. */
function affordable(name, limit) {
  const accuracy = data.columns.test_accuracy;
  const [x, y, sign] = name === "risk" ? [risk, accuracy, -1] : [accuracy, risk, 1];
  const keepsLimit = (v) => known(v) && (name === "risk" ? v <= limit : v >= limit);
  return range(data.ids.length)
    .filter((i) => keepsLimit(x.value[i]) && known(y.value[i]))
    .map((i) => ({ i, sure: keepsLimit((name === "risk" ? x.high : x.low)?.[i]) }))
    .sort((p, q) => sign * (y.value[p.i] - y.value[q.i]) || sign * (x.value[q.i] - x.value[p.i]));
}

export function drawDecide() {
  slider("by-risk", "risk", `${risk.title} at most`, "The most accurate recipe", "test_accuracy");
  slider("by-accuracy", "test_accuracy", "Test accuracy at least", "The recipe that leaks least", "risk");
}

/** Where a slider starts: the unfavourable end of the knee's interval, else the middle. */
function startOf(name, [from, to]) {
  if (!known(risk.knee)) return (from + to) / 2;
  const { value, low, high } = column(name);
  return (name === "risk" ? high : low)?.[risk.knee] ?? value[risk.knee];
}

function slider(id, name, text, best, other) {
  const { value, low, high } = column(name);
  const all = value.flatMap((v, i) => [v, low?.[i], high?.[i]]).filter(known);
  const ends = [Math.min(...all), Math.max(...all)];
  const limit = Math.min(Math.max(state[id] ?? startOf(name, ends), ends[0]), ends[1]);
  const answer = h("div", { className: "answer", "aria-live": "polite" });
  const output = h("output", {});
  const input = h("input", { type: "range", min: ends[0], max: ends[1], step: "any", value: limit, id: `${id}-input`, "aria-label": text, oninput: () => { state[id] = Number(input.value); show(); } });
  $(id).replaceChildren(h("div", { className: "slider" }, h("label", { className: "muted", htmlFor: `${id}-input` }, text), output, input), answer);
  show();
  function show() {
    const bound = Number(input.value);
    output.textContent = form(name, bound);
    input.setAttribute("aria-valuetext", form(name, bound));
    answer.replaceChildren(...answerTo(affordable(name, bound), best, other, name));
  }
}

function answerTo([first, ...next], best, other, name) {
  if (!first) return [h("p", {}, "No recipe of this sweep keeps that limit.")];
  const safest = first.sure ? null : next.find((choice) => choice.sure);
  return [
    h("div", {}, h("span", { className: "muted" }, `${best}: `), h("strong", {}, entry(first))),
    h("p", { className: "num" }, [other, name].map((n) => h("span", { className: "figure" }, `${title(n)} `, withInterval(n, first.i)))),
    h("p", { className: "note" }, first.sure ? "Its whole interval keeps the limit." : ["Its interval reaches beyond the limit. ", safest ? ["The best whose whole interval keeps it: ", entry(safest), "."] : "No recipe's whole interval keeps it."]),
    next.length ? h("ol", { start: 2 }, next.slice(0, 3).map((choice) => h("li", {}, entry(choice), " ", withInterval(other, choice.i)))) : "",
  ];
}

const entry = ({ i }) => h("button", { className: "link", type: "button", onclick: () => select(data.ids[i]) }, data.labels[i]);
