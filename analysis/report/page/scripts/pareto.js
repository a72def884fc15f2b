/* The Pareto front: the recipes that no other beats; the rule of analysis/pareto.py. */

import { known } from "./dom.js";
import { column, resolved } from "./state.js";

const OBJECTIVES = { risk: -1, test_accuracy: 1 };

/** Those of the rows that no other beats. `objectives`: columns with 1 where more is better, -1 where less is. */
export function undominated(rows, columnOf, objectives) {
  const points = rows.map((i) => Object.entries(objectives).map(([name, sign]) => sign * columnOf(name).value[i]));
  const beats = (p, q) => p.every((v, k) => v >= q[k]) && p.some((v, k) => v > q[k]);
  return rows.filter((_, k) => !points.some((p) => beats(p, points[k])));
}

/** The front of accuracy and the chosen risk. */
export function frontOf(rows) {
  return undominated(resolved(rows).filter((i) => known(column("test_accuracy").value[i])), column, OBJECTIVES);
}
