/* Which recipes are selected, and which risk is looked at. */

import { chunk } from "./chunks.js";
import { $, dot, h } from "./dom.js";
import { tell } from "./events.js";
import { remember } from "./links.js";
import { data, labelOf, setRisk, state } from "./state.js";

export function select(id, slot = 0) {
  const at = state.selected.length ? slot : 0;
  const other = state.selected[1 - at];
  state.selected[at] = id;
  if (other === id) state.selected.splice(1);
  remember();
  tell("selection");
}

export function clearCompared() {
  state.selected.splice(1);
  remember();
  tell("selection");
}

export async function chooseRisk(name) {
  state.risk = name;
  const about = data.risks.find((r) => r.column === name);
  setRisk({ ...about, ...(await chunk(`risk/${name}`)) });
  remember();
  tell("risk");
}

/** The chunks of the selected recipes; null if others were selected meanwhile. */
export async function selectedDetails() {
  const ids = [...state.selected];
  const details = await Promise.all(ids.map((id) => chunk(`recipe/${id}`)));
  return ids.join() === state.selected.join() ? { ids, details } : null;
}

export function drawLegend() {
  $("legend").replaceChildren(...state.selected.map((id, slot) => h("span", {}, dot(slot), labelOf(id))));
}
