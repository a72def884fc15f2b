/* What was published beside what this sweep measured; the section is there where the table is. */

import { $, h, known } from "./dom.js";
import { data, labelOf } from "./state.js";
import { plainTable } from "./tables.js";

export function drawClaims() {
  const rows = data.tables.claims;
  $("claims").hidden = $("claims-link").hidden = !rows;
  if (!rows) return;
  if (!rows.length) {
    $("claims-body").replaceChildren(h("p", { className: "muted" }, "This sweep has no pair of recipes that a published claim speaks of."));
    return;
  }
  const first = (row, ...keys) => rows.find((other) => keys.every((key) => other[key] === row[key])) === row;
  const tally = ["reproduced", "contradicted", "cannot tell"].map((v) => `${rows.filter((row) => row.verdict === v).length} ${v}`).join(", ");
  $("claims-body").replaceChildren(...plainTable("claims", `${rows.length} measured: ${tally}`, rows, [
    ["claim", "Claim", (r) => (first(r, "claim") ? r.claim : "")],
    ["published", "Published", (r) => (first(r, "claim", "published") ? printed(r.published ?? "") : "")],
    ["definition", "Measured", (r) => [r.definition ?? r.figure, h("span", { className: "ci" }, r.records ?? `${label(r.recipe_id)} against ${label(r.reference_id)}`)]],
    ["estimate", "Estimate", (r) => [number(r.estimate), known(r.low) ? h("span", { className: "ci" }, `${number(r.low)} to ${number(r.high)}`) : null]],
    ["verdict", "Here", verdict]]));
}

const label = (id) => labelOf(id) ?? id ?? "";
const printed = (text) => text.replaceAll("->", "→").replace(/(?<= )-(?=\d)/g, "−");
const number = (v) => (known(v) ? (v > 0 ? "+" : "") + String(Number(v.toPrecision(3))).replace("-", "−") : "–");
const verdict = (row) => h("span", { className: `verdict ${row.verdict === "cannot tell" ? "unclear" : row.verdict}` }, row.verdict);
