/* Numbers as text. */

import { h, known } from "./dom.js";
import { column, risk } from "./state.js";

const PERCENT = ["test_accuracy", "train_accuracy", "memorization_rate", "front_probability"];

export const inPercent = (name) => PERCENT.includes(name) || (name === "risk" && risk.format.endsWith("%"));

/** A metric as text, with as many decimals as one like `like` needs: an interval's ends take after its estimate. */
export function form(name, value, like = value) {
  if (name === "epsilon" && !known(value)) return "none";
  if (!known(value)) return name === "risk" ? "not resolvable" : "–";
  if (typeof value !== "number") return String(value);
  if (inPercent(name)) return `${(100 * value).toFixed(like && Math.abs(like) < 0.01 ? 3 : 2)} %`;
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));
}

/** "1.2 to 3.4 %": a unit that both ends have is said once. */
export function between(low, high) {
  const unit = / (%|points)$/.exec(high)?.[0];
  return `${unit && low.endsWith(unit) ? low.slice(0, -unit.length) : low} to ${high}`;
}

export function interval(name, i) {
  const { value, low, high } = column(name);
  return low && known(low[i]) && known(high[i]) ? between(form(name, low[i], value[i]), form(name, high[i], value[i])) : "";
}

export function withInterval(name, i) {
  const ends = interval(name, i);
  return [form(name, column(name).value[i]), ends ? h("span", { className: "ci" }, ends) : null];
}
