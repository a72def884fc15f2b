/* The recipes as the reader looks at them: those that the filters keep, the selected ones, and how to walk through them. */

import { known } from "./dom.js";
import { encode, hover } from "./marks.js";
import { select } from "./selection.js";
import { chosenRows, column, data, place, resolved, risk, state, visible } from "./state.js";

/** What `points.js` resolves traces for. */
export function present() {
  const marks = [[risk.reference, "reference"], [risk.baseline, "best without noise"]].filter(([i]) => known(i));
  return { ids: data.ids, labels: data.labels, rows: visible(), chosen: chosenRows(), marks: new Map(marks), column, text: hover, look: encode };
}

/** Arrow keys go from recipe to recipe by rising risk. */
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

/** A click on a recipe's point selects it, with Shift as the one to compare. */
export function choosePoint({ points, event }) {
  const id = points[0]?.id;
  if (place.has(id)) select(id, event?.shiftKey ? 1 : 0);
}
