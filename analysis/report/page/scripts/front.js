/* The privacy-accuracy front: every recipe that the filters keep, and the staircase of those that none beats. */

import { $, known } from "./dom.js";
import { form } from "./format.js";
import { caption } from "./caption.js";
import { bars, encode, hover } from "./marks.js";
import { plot } from "./plots.js";
import { select } from "./selection.js";
import { chosenRows, data, place, resolved, risk, state, visible } from "./state.js";

/** Rows on the front of the rows given: by rising risk, each more accurate than all before. */
export function frontOf(rows) {
  const accuracy = data.columns.test_accuracy.value;
  const drawn = resolved(rows).filter((i) => known(accuracy[i]));
  drawn.sort((i, j) => risk.value[i] - risk.value[j] || accuracy[j] - accuracy[i]);
  const front = [];
  for (const i of drawn) {
    const last = front.at(-1);
    const same = last !== undefined && risk.value[i] === risk.value[last] && accuracy[i] === accuracy[last];
    if (same || last === undefined || accuracy[i] > accuracy[last]) front.push(i);
  }
  return front;
}

export function drawFront() {
  const rows = resolved(visible());
  const front = frontOf(rows);
  const where = $("front-plot");
  plot(where, frontTraces(rows, front), { ...data.front.layout, uirevision: state.risk }).then(() => listenToPoints(where));
  where.setAttribute("aria-label", `Test accuracy against ${risk.title} of ${rows.length} recipes, ${front.length} of them on the front. ` +
    "Arrow keys select, with Shift they choose the recipe to compare. The table below holds the same figures.");
  $("front-note").textContent = note(rows, front);
  $("front-caption").replaceChildren(...caption("Accuracy against risk", [risk.title], data.caption));
}

function frontTraces(rows, front) {
  const { points, line, marks, chosen } = data.front.traces;
  const drawn = new Set(rows);
  const barred = new Set(rows.length <= data.front.mostBars ? rows : [...front, ...chosenRows(), risk.reference, risk.baseline]);
  const at = (list) => ({ x: list.map((i) => risk.value[i]), y: list.map((i) => data.columns.test_accuracy.value[i]) });
  const marked = [[risk.reference, "reference"], [risk.baseline, "best without noise"]].filter(([i]) => drawn.has(i));
  const rings = chosenRows().map((i, slot) => [i, "@" + "ab"[slot]]).filter(([i]) => drawn.has(i));
  const dots = (list) => ({ ...points, ...at(list), text: list.map(hover), customdata: list, marker: encode(list) });
  const intervals = { error_x: { ...points.error_x, ...bars("risk", rows, barred) }, error_y: { ...points.error_y, ...bars("test_accuracy", rows, barred) } };
  return [
    { ...dots(rows), ...intervals },
    { ...line, ...at(front) },
    { ...dots(front), error_x: undefined, error_y: undefined },
    { ...marks, ...at(marked.map(([i]) => i)), text: marked.map(([, text]) => text), textposition: marked.map(([i]) => side(i, rows)) },
    { ...chosen, ...at(rings.map(([i]) => i)), marker: { ...chosen.marker, color: rings.map(([, c]) => c) } },
  ];
}

/** Left of a point in the right half of the plot, so that its words stay inside. */
function side(i, rows) {
  const values = rows.flatMap((k) => [risk.value[k], risk.low?.[k], risk.high?.[k]]).filter(known);
  return risk.value[i] > (Math.min(...values) + Math.max(...values)) / 2 ? "bottom left" : "bottom right";
}

function note(rows, front) {
  const drawn = new Set(rows);
  const missing = risk.value.filter((v) => !known(v)).length;
  return [`${rows.length} of ${data.ids.length} recipes shown, ${front.length} on their front. Guessing gives ${form("risk", risk.chance)}.`,
    drawn.has(risk.baseline) && "“Best without noise” leaks least of the recipes without noise injection that are at least as accurate as the reference.",
    rows.length > data.front.mostBars && "Intervals are drawn for the front and the marked recipes.",
    missing && `${missing} are not drawn: this risk is not resolvable for them.`,
    data.knobs.includes("noise") && "Gradient noise is noise injection, not differential privacy."].filter(Boolean).join(" ");
}

function listenToPoints(where) {
  if (where.dataset.listening) return;
  where.dataset.listening = "yes";
  where.on("plotly_click", ({ points, event }) => {
    const i = points[0]?.customdata;
    if (known(i)) select(data.ids[i], event?.shiftKey ? 1 : 0);
  });
}

/** Arrow keys go from point to point by rising risk. */
export function walk(event) {
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const slot = event.shiftKey && state.selected.length ? 1 : 0;
  const rows = resolved(visible()).sort((i, j) => risk.value[i] - risk.value[j]);
  if (!rows.length) return;
  const from = rows.indexOf(place.get(state.selected[slot] ?? state.selected[0]));
  select(data.ids[rows[(from + step + rows.length) % rows.length]], slot);
}
