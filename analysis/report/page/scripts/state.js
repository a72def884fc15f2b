/* What the page shows: the summary that Python wrote, the chosen risk, and the reader's choices. */

import { known, range } from "./dom.js";

export let data; // the summary
export let risk; // the chosen risk's chunk, with its title, format and chance
export let place; // recipe_id -> row
export const state = { risk: null, colour: "optimizer", symbol: "optimizer", size: "", filters: {}, selected: [], sort: ["risk", 1], rows: 60, print: false };

export function setData(summary) {
  data = summary;
  place = new Map(data.ids.map((id, i) => [id, i]));
}

export function setRisk(chosen) {
  risk = chosen;
}

export const theme = () => (state.print && "light") || document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/** What "@name" stands for in a figure: the theme's colours and the chosen risk. */
export const names = () => ({ ...data.themes[theme()], ...risk.names });

/** A column of the recipes; the risk and the probability to be on the front are the chosen risk's. */
export function column(name) {
  if (name === "risk") return risk;
  return (name === "front_probability" && risk.frontProbability) || data.columns[name] || data.ofFigures?.[name];
}

export const title = (name) => (name === "risk" ? risk.title : data.titles[name] || name);
export const labelOf = (id) => data.labels[place.get(id)];
export const chosenRows = () => state.selected.map((id) => place.get(id));

/** Rows that every filter keeps. */
export const visible = () => range(data.ids.length).filter((i) =>
  Object.entries(state.filters).every(([knob, filter]) => keeps(filter, data.columns[knob].value[i])));

/** A filter hides some values, or keeps a range; recipes without the knob count as 0 there. */
export function keeps(filter, value) {
  if (!filter) return true;
  if (filter.hide) return !filter.hide.includes(value);
  return (value ?? 0) >= filter.ends[0] && (value ?? 0) <= filter.ends[1];
}

/** Rows whose chosen risk is resolved. */
export const resolved = (rows) => rows.filter((i) => known(risk.value[i]));
