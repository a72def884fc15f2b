/* Taking things along: to the clipboard, or as a CSV file. */

import { chunk } from "./chunks.js";
import { h, known } from "./dom.js";
import { data } from "./state.js";

export function copyButton(text, content) {
  return h("button", { className: "quiet copy", type: "button", onclick: async (event) => {
    const button = event.currentTarget;
    const done = await copy(typeof content === "function" ? content() : content);
    button.textContent = done ? "Copied" : "Cannot copy here";
    setTimeout(() => (button.textContent = text), 1600);
  } }, text);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { value: text, style: "position:fixed;opacity:0" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function saveCsv(name, rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const text = [names.map(cell).join(","), ...rows.map((row) => names.map((n) => cell(row[n])).join(","))].join("\n");
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `${name}.csv` });
  link.click();
  URL.revokeObjectURL(link.href);
}

/** A leading apostrophe keeps spreadsheets from running text of a spec as a formula. */
function cell(value) {
  if (!known(value)) return "";
  return typeof value === "number" ? value : `"${String(value).replace(/^[=+\-@]/, "'$&").replace(/"/g, '""')}"`;
}

export const csvButton = (name, rows) =>
  h("button", { className: "quiet", type: "button", onclick: async () => saveCsv(name, await rows()) }, "CSV");

/** Every column of every recipe, all risks with their intervals. */
export async function everything() {
  const risks = await Promise.all(data.risks.map((r) => chunk(`risk/${r.column}`)));
  const columns = [...Object.entries(data.columns), ...data.risks.map((r, k) => [r.column, risks[k]])];
  return data.ids.map((id, i) => Object.fromEntries([["recipe_id", id], ["label", data.labels[i]],
    ...columns.flatMap(([name, c]) => [[name, c.value[i]], ...(c.low ? [[`${name}_low`, c.low[i]], [`${name}_high`, c.high[i]]] : [])])]));
}
