/* Small tools: elements, text that stays text, values that may be missing. */

export const $ = (id) => document.getElementById(id);

/** An element with properties and children; strings become text, never markup. */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/** Text for Plotly, which reads a little markup. */
export const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

export const range = (n) => Array.from({ length: n }, (_, i) => i);
export const known = (value) => value !== null && value !== undefined;
export const unset = (value) => !known(value) || value === 0 || value === false || value === "";

/** The value with every string "@name" replaced by what has that name; the rule of panel.paint in Python. */
export function paint(value, names) {
  if (Array.isArray(value)) return value.map((item) => paint(item, names));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, paint(item, names)]));
  if (typeof value === "string" && value[0] === "@") return names[value.slice(1)] ?? value;
  return value;
}

/** A coloured dot that stands for the first or the second selected recipe. */
export const dot = (slot) => h("i", { className: `dot ${"ab"[slot]}` });
