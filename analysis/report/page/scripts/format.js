/* Numbers as text. */

import { h, known } from "./dom.js";
import { column, risk } from "./state.js";

const PERCENT = ["test_accuracy", "train_accuracy", "memorization_rate", "front_probability"];

export const inPercent = (name) => PERCENT.includes(name) || (name === "risk" && risk.names["risk-format"].endsWith("%"));

/** A metric as text, with as many decimals as one like `like` needs: an interval's ends take after its estimate. */
export function form(name, value, like = value) {
  if (name === "epsilon" && !known(value)) return "none";
  if (!known(value)) return name === "risk" ? "not resolvable" : "–";
  if (typeof value !== "number") return String(value);
  return name === "front_probability" ? `${Number((100 * value).toFixed(1))} %` : numeral(value, inPercent(name), like); // of a thousand resamples
}

function numeral(value, percent, like) {
  if (percent) return `${(100 * value).toFixed(like && Math.abs(like) < 0.01 ? 3 : 2)} %`;
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) < 1000 ? value.toPrecision(3) : String(Number(value.toPrecision(3)));
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

/** A difference as text; of percentages in points. */
export const signed = (name, value, like = value) => (value > 0 ? "+" : "") + form(name, value, like).replace(" %", " points").replace("-", "−");

/** A row of the table of comparisons: the difference, its interval and its p. */
export function differenceOf(name, { difference, low, high, p_adjusted, p_value }, sign = 1) {
  const ends = [sign * low, sign * high].sort((a, b) => a - b).map((end) => signed(name, end, difference));
  const p = p_adjusted ?? p_value;
  const told = known(low) && known(high) ? `${between(...ends)}${known(p) ? `, p\u00a0${p < 0.001 ? "<\u00a00.001" : p.toPrecision(2)}` : ""}` : "no interval";
  return [signed(name, sign * difference), h("span", { className: "ci" }, told)];
}
