/* Ticks of logarithmic axes; the rule of panel.log_ticks in Python. */

import { known, range } from "./dom.js";
import { data } from "./state.js";

/** At least three and at most seven ticks between two positive ends, as round as that allows. */
export function logTicks(low, high) {
  const first = Math.floor(Math.log10(low));
  const decades = range(Math.ceil(Math.log10(high)) + 1 - first).map((k) => first + k);
  for (let skip = Math.floor(decades.length / 7) + 1; skip > 0; skip--)
    for (const digits of skip === 1 ? data.mantissas : data.mantissas.slice(0, 1)) {
      const kept = decades.filter((power) => power % skip === 0);
      const inside = kept.flatMap((power) => digits.map((d) => Number(`${d}e${power}`))).filter((tick) => low <= tick && tick <= high);
      if (inside.length >= 3) return inside.filter((_, k) => k % Math.ceil(inside.length / 7) === 0);
    }
  return [0, 0.5, 1].map((share) => Number((low + share * (high - low)).toPrecision(3)));
}

/** The layout with ticks for its logarithmic axes: of their range, else of all that the traces reach. */
export function withLogTicks(traces, layout) {
  const out = { ...layout };
  for (const axis of ["x", "y"]) {
    const own = layout[`${axis}axis`];
    if (own?.type !== "log") continue;
    const reached = traces.flatMap((trace) => reach(trace, axis)).filter((end) => end > 0);
    if (!own.range && !reached.length) continue;
    const [low, high] = own.range ? own.range.map((end) => 10 ** end) : padded(Math.min(...reached), Math.max(...reached));
    out[`${axis}axis`] = { ...own, range: [Math.log10(low), Math.log10(high)], tickmode: "array", tickvals: logTicks(low, high) };
  }
  return out;
}

function padded(low, high) {
  const pad = high > low ? (high / low) ** 0.06 : 2;
  return [low / pad, high * pad];
}

/** A trace's values along an axis, and the ends of its error bars. */
function reach(trace, axis) {
  const values = trace[axis] ?? [];
  const error = trace[`error_${axis}`] ?? {};
  const ends = [["array", 1], ["arrayminus", -1]].flatMap(([name, sign]) =>
    values.flatMap((value, k) => (known(value) && known(error[name]?.[k]) ? [value + sign * error[name][k]] : [])));
  return [...values.filter(known), ...ends];
}
