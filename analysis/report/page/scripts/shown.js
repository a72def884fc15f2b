/* What the front's section says of the recipes that are shown. */

import { $, known } from "./dom.js";
import { form } from "./format.js";
import { frontOf } from "./pareto.js";
import { data, resolved, risk, visible } from "./state.js";

export function drawShown() {
  const rows = resolved(visible());
  const missing = risk.value.filter((v) => !known(v)).length;
  $("front-note").textContent = [`${rows.length} of ${data.ids.length} recipes shown, ${frontOf(rows).length} on their front. Guessing gives ${form("risk", risk.chance)}.`,
    rows.includes(risk.baseline) && "“Best without noise” leaks least of the recipes without noise injection that are at least as accurate as the reference.",
    rows.length > data.mostBars && "Intervals are drawn for the front and the marked recipes.",
    missing && `${missing} are not drawn: this risk is not resolvable for them.`,
    data.knobs.includes("noise") && "Gradient noise is noise injection, not differential privacy."].filter(Boolean).join(" ");
}
