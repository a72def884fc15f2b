/* A plain table of rows with its CSV, and a list of facts. */

import { h, known } from "./dom.js";
import { csvButton } from "./export.js";

/** Columns are [key, heading, how to show a row]. */
export function plainTable(name, text, rows, columns) {
  const cells = (row) => columns.map(([key, label, show]) => h("td", { className: typeof row[key] === "number" ? "num" : "", "data-title": label }, show ? show(row) : known(row[key]) ? String(row[key]) : "–"));
  return [h("div", { className: "head" }, h("h3", {}, text), csvButton(name, () => rows)),
    h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": text }, h("table", {},
      h("thead", {}, h("tr", {}, columns.map(([, label]) => h("th", { scope: "col" }, label)))),
      h("tbody", {}, rows.slice(0, 300).map((row) => h("tr", {}, cells(row))))))];
}

export function facts(pairs) {
  return h("dl", { className: "facts" }, pairs.filter(([, v]) => known(v) && v !== "").map(([name, v]) => [h("dt", {}, name), h("dd", {}, flat(v))]));
}

/** A JSON value as a reader's text. */
export function flat(value) {
  if (Array.isArray(value)) return value.map(flat).join("; ");
  if (value && typeof value === "object") return Object.entries(value).filter(([, v]) => known(v)).map(([k, v]) => `${k} ${flat(v)}`).join(", ");
  return String(value);
}
