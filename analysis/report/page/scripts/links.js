/* The address keeps what the reader chose: recipes, risk and filters. */

import { data, place, state } from "./state.js";

export function remember() {
  const [recipe, compare] = state.selected;
  const filters = Object.keys(state.filters).length ? { filters: JSON.stringify(state.filters) } : {};
  const parts = new URLSearchParams({ recipe, ...(compare && { compare }), ...(state.risk !== data.risk && { risk: state.risk }), ...filters });
  history.replaceState(null, "", `#${parts}`);
}

/** What the address names, as far as this sweep has it. */
export function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const named = [parts.get("recipe"), parts.get("compare")].filter((id) => place.has(id));
  if (named.length) state.selected = [...new Set(named)];
  if (data.risks.some((r) => r.column === parts.get("risk"))) state.risk = parts.get("risk");
  if (named.length || parts.has("filters")) state.filters = filtersOf(parts.get("filters"));
}

function filtersOf(text) {
  let found;
  try {
    found = Object.entries(JSON.parse(text ?? "{}"));
  } catch {
    return {};
  }
  const lawful = ([knob, filter]) => knob in data.columns && (Array.isArray(filter?.hide) || (Array.isArray(filter?.ends) && filter.ends.length === 2));
  return Object.fromEntries(found.filter(lawful));
}
