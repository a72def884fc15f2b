"use strict";
/* The page's script. Python wrote the figures (axes, traces, captions); here the reader chooses among them.
   Text from specs and data reaches the page through textContent, or through plain() where Plotly reads markup. */

// ---- small tools ---------------------------------------------------------------------------------------------

const $ = (id) => document.getElementById(id);

/** An element with properties and children; strings become text, never markup. */
function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const range = (n) => Array.from({ length: n }, (_, i) => i);
const known = (value) => value !== null && value !== undefined;
const unset = (value) => !known(value) || value === 0 || value === false || value === "";

function paint(value, colours) {
  if (Array.isArray(value)) return value.map((item) => paint(item, colours));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, paint(item, colours)]));
  if (typeof value === "string" && value[0] === "@") return colours[value.slice(1)] ?? value;
  return value;
}

// ---- chunks: compressed JSON inside the page, unpacked when first asked for -------------------------------------

const packed = new Map();
const unpacked = new Map();

async function inflate(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i); // Uint8Array.from takes ten times as long
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function chunk(name) {
  if (!unpacked.has(name)) {
    const text = packed.get(name) ?? document.querySelector(`script[data-chunk="${CSS.escape(name)}"]`)?.textContent;
    unpacked.set(name, text ? inflate(text).then(JSON.parse) : Promise.resolve(null));
  }
  return unpacked.get(name);
}

const plotlyCode = inflate(document.querySelector("script[data-chunk=plotly]").textContent);
let plotly;

/** Plotly, evaluated once and only after the page's text is on the screen: it takes longer than all else. */
function loadPlotly() {
  plotly ??= plotlyCode
    .then((code) => new Promise((painted) => requestAnimationFrame(() => setTimeout(() => painted(code)))))
    .then((code) => document.head.append(h("script", { textContent: code })));
  return plotly;
}

// ---- state ----------------------------------------------------------------------------------------------------

let data; // the summary
let risk; // the chosen risk's chunk, with its title, format and chance
let place; // recipe_id -> row
const state = { risk: null, colour: "optimizer", symbol: "optimizer", size: "", filters: {}, selected: [], sort: ["risk", 1], rows: 60 };

const theme = () => document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
const colours = () => data.themes[theme()];
const column = (name) => (name === "risk" ? risk : data.columns[name]);
const title = (name) => (name === "risk" ? risk.title : data.titles[name] || name);

function visible() {
  return range(data.ids.length).filter((i) =>
    Object.entries(state.filters).every(([knob, keep]) => keep(data.columns[knob].value[i])));
}

// ---- numbers --------------------------------------------------------------------------------------------------

const PERCENT = ["test_accuracy", "train_accuracy", "memorization_rate", "front_probability"];

/** A figure as text, with as many decimals as one like ``like`` needs: an interval's ends take after its estimate. */
function form(name, value, like = value) {
  if (name === "epsilon" && !known(value)) return "none";
  if (!known(value)) return name === "risk" ? "not resolvable" : "–";
  if (typeof value !== "number") return String(value);
  if (PERCENT.includes(name) || (name === "risk" && risk.format.endsWith("%"))) return `${(100 * value).toFixed(like && Math.abs(like) < 0.01 ? 3 : 2)} %`;
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));
}

/** ``"1.2 to 3.4 %"``: a unit that both ends have is said once. */
function between(low, high) {
  const unit = / (%|points)$/.exec(high)?.[0];
  return `${unit && low.endsWith(unit) ? low.slice(0, -unit.length) : low} to ${high}`;
}

function interval(name, i) {
  const { value, low, high } = column(name);
  return low && known(low[i]) && known(high[i]) ? between(form(name, low[i], value[i]), form(name, high[i], value[i])) : "";
}

function withInterval(name, i) {
  const ends = interval(name, i);
  return [form(name, column(name).value[i]), ends ? h("span", { className: "ci" }, ends) : null];
}

// ---- plots ----------------------------------------------------------------------------------------------------

const CONFIG = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], displayModeBar: "hover" };

async function plot(where, traces, layout) {
  await loadPlotly();
  const painted = paint({ ...data.base, ...layout }, colours());
  const narrow = where.clientWidth < 460;
  if (narrow) painted.dragmode = false;
  return Plotly.react(where, paint(traces, colours()), painted, { ...CONFIG, displayModeBar: narrow ? false : "hover" });
}

// ---- the front ------------------------------------------------------------------------------------------------

/** Rows on the front of the rows given: by rising risk, each more accurate than all before. */
function frontOf(rows) {
  const accuracy = data.columns.test_accuracy.value;
  const drawn = rows.filter((i) => known(risk.value[i]) && known(accuracy[i]));
  drawn.sort((i, j) => risk.value[i] - risk.value[j] || accuracy[j] - accuracy[i]);
  const front = [];
  for (const i of drawn) {
    const last = front.at(-1);
    const same = last !== undefined && risk.value[i] === risk.value[last] && accuracy[i] === accuracy[last];
    if (same || last === undefined || accuracy[i] > accuracy[last]) front.push(i);
  }
  return front;
}

const distinct = (name) => [...new Set(data.columns[name].value)].sort((x, y) => unset(y) - unset(x) || (x > y ? 1 : -1));
const ordinal = (name) => name && (name === "optimizer" || distinct(name).length <= data.symbols.length);

function encode(rows) {
  const marker = { ...data.front.traces.points.marker };
  if (state.colour) {
    const values = data.columns[state.colour].value;
    const levels = distinct(state.colour);
    if (ordinal(state.colour)) marker.color = rows.map((i) => data.palette[levels.indexOf(values[i]) % data.palette.length]);
    else Object.assign(marker, { color: rows.map((i) => values[i] ?? 0), cmin: Math.min(...values.map((v) => v ?? 0)), cmax: Math.max(...values.map((v) => v ?? 0)), colorscale: "Cividis", showscale: true,
      colorbar: { title: { text: plain(title(state.colour)), side: "right" }, thickness: 10, outlinewidth: 0 } });
  } else marker.color = "@a";
  if (ordinal(state.symbol)) {
    const levels = distinct(state.symbol);
    marker.symbol = rows.map((i) => data.symbols[levels.indexOf(data.columns[state.symbol].value[i]) % data.symbols.length]);
  }
  if (state.size) {
    const values = data.columns[state.size].value.map((v) => v ?? 0);
    const top = Math.max(...values) || 1;
    marker.size = rows.map((i) => 7 + 13 * Math.sqrt(Math.max(values[i], 0) / top));
  } else if (data.ids.length > 400) marker.size = 7;
  return marker;
}

function bars(name, rows, barred) {
  const { value, low, high } = column(name);
  const length = (i, end, sign) => (low && barred.has(i) && known(end[i]) ? sign * (end[i] - value[i]) : null);
  return { array: rows.map((i) => length(i, high, 1)), arrayminus: rows.map((i) => length(i, low, -1)) };
}

function drawFront() {
  const { traces, layout, mostBars } = data.front;
  const rows = visible().filter((i) => known(risk.value[i]));
  const front = frontOf(rows);
  const chosen = state.selected.map((id) => place.get(id));
  const barred = new Set(rows.length <= mostBars ? rows : [...front, ...chosen, risk.reference, risk.baseline]);
  const at = (list) => ({ x: list.map((i) => risk.value[i]), y: list.map((i) => data.columns.test_accuracy.value[i]) });
  const drawn = new Set(rows);
  const marks = [[risk.reference, "reference"], [risk.baseline, "best without noise"]].filter(([i]) => drawn.has(i));
  const rings = chosen.map((i, slot) => [i, "@" + "ab"[slot]]).filter(([i]) => drawn.has(i));
  const points = (list) => ({ ...traces.points, ...at(list), text: list.map((i) => plain(data.labels[i])), customdata: list, marker: encode(list) });
  const intervals = { error_x: { ...traces.points.error_x, ...bars("risk", rows, barred) }, error_y: { ...traces.points.error_y, ...bars("test_accuracy", rows, barred) } };
  const bare = { error_x: undefined, error_y: undefined };
  const all = [
    { ...points(rows), ...intervals },
    { ...traces.line, ...at(front) },
    { ...points(front), ...bare },
    { ...traces.marks, ...at(marks.map(([i]) => i)), text: marks.map(([, text]) => text) },
    { ...traces.chosen, ...at(rings.map(([i]) => i)), marker: { ...traces.chosen.marker, color: rings.map(([, c]) => c) } },
  ];
  const where = $("front-plot");
  const axes = { ...layout, uirevision: state.risk, xaxis: { title: { text: `${plain(risk.title)} (less is better)` }, tickformat: risk.format } };
  plot(where, all, axes).then(listenToPoints);
  where.setAttribute("aria-label", `Test accuracy against ${risk.title} of ${rows.length} recipes, ${front.length} of them on the front. ` +
    "Arrow keys select, with Shift they choose the recipe to compare. The table below holds the same figures.");
  const missing = risk.value.filter((v) => !known(v)).length;
  $("front-note").textContent = `${rows.length} of ${data.ids.length} recipes shown, ${front.length} on their front. ` +
    `Guessing gives ${form("risk", risk.chance)}.` +
    (drawn.has(risk.baseline) ? " “Best without noise” leaks least of the recipes without noise injection that stay within 0.8 points of the reference's accuracy." : "") +
    (rows.length > mostBars ? " Intervals are drawn for the front and the marked recipes." : "") +
    (missing ? ` ${missing} are not drawn: this risk is not resolvable for them.` : "") +
    (data.knobs.includes("noise") ? " Gradient noise is noise injection, not differential privacy." : "");
}

function listenToPoints(where) {
  if (where.dataset.listening) return;
  where.dataset.listening = "yes";
  where.on("plotly_click", ({ points, event }) => {
    const i = points[0]?.customdata;
    if (known(i)) select(data.ids[i], event?.shiftKey ? 1 : 0);
  });
}

function walk(event) {
  const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const slot = event.shiftKey && state.selected.length ? 1 : 0;
  const rows = visible().filter((i) => known(risk.value[i])).sort((i, j) => risk.value[i] - risk.value[j]);
  if (!rows.length) return;
  const from = rows.indexOf(place.get(state.selected[slot] ?? state.selected[0]));
  select(data.ids[rows[(from + step + rows.length) % rows.length]], slot);
}

// ---- controls and filters -----------------------------------------------------------------------------------------

function menu(text, id, options, value, change) {
  const choose = h("select", { id, onchange: (e) => change(e.target.value) },
    options.map(([key, name]) => h("option", { value: key, selected: key === value }, name)));
  return h("label", {}, text, choose);
}

function drawControls() {
  const numeric = Object.keys(data.columns).filter((n) => data.columns[n].value.some((v) => typeof v === "number"));
  const named = (names) => [["", "none"], ...names.map((n) => [n, title(n)])];
  const shapes = data.knobs.filter(ordinal);
  $("controls").replaceChildren(
    menu("Risk", "risk-menu", data.risks.map((r) => [r.column, r.title]), state.risk, chooseRisk),
    menu("Colour", "colour-menu", named([...new Set([...data.knobs, ...numeric])]), state.colour, (v) => restyle("colour", v)),
    menu("Shape", "symbol-menu", named(shapes), state.symbol, (v) => restyle("symbol", v)),
    menu("Size", "size-menu", named(numeric), state.size, (v) => restyle("size", v)));
}

function restyle(what, value) {
  state[what] = value;
  drawFront();
  drawFilters();
}

const GLYPHS = ["●", "■", "◆", "▲", "✚", "✖", "★", "⬢"];

function drawFilters() {
  const open = { ...state.filters };
  const knobs = [...data.knobs, ...(data.columns.epsilon && !data.knobs.includes("epsilon") && distinct("epsilon").length > 1 ? ["epsilon"] : [])];
  $("filter-body").replaceChildren(...knobs.map((knob) =>
    h("fieldset", {}, h("legend", {}, title(knob)), distinct(knob).length <= 12 ? chips(knob, open[knob]) : limits(knob, open[knob]))));
}

/** One check box a value: unchecking hides the recipes that have it. */
function chips(knob, keep) {
  const levels = distinct(knob);
  const colour = (k) => (knob === state.colour && ordinal(knob) ? data.palette[k % data.palette.length] : "currentColor");
  const glyph = (k) => (knob === state.symbol ? GLYPHS[k % GLYPHS.length] : knob === state.colour && ordinal(knob) ? GLYPHS[0] : null);
  return h("div", { className: "chips" }, levels.map((value, k) => {
    const box = h("input", { type: "checkbox", checked: !keep || keep(value), onchange: apply, "data-knob": knob });
    return h("label", { className: "chip" }, box, glyph(k) && h("span", { className: "glyph", style: `color:${colour(k)}`, "aria-hidden": "true" }, glyph(k)), unset(value) ? "none" : String(value));
  }));
  function apply(event) {
    const boxes = [...event.target.closest(".chips").querySelectorAll("input")];
    const hidden = new Set(levels.filter((_, k) => !boxes[k].checked));
    setFilter(knob, hidden.size ? (v) => !hidden.has(v) : null);
  }
}

/** Two numbers for a knob with many values; recipes without the knob count as 0. */
function limits(knob, keep) {
  const values = data.columns[knob].value.filter((v) => typeof v === "number");
  const ends = keep?.ends ?? [Math.min(...values, 0), Math.max(...values)];
  const inputs = ends.map((end, k) => h("input", { type: "number", step: "any", value: end, onchange: apply, "aria-label": `${title(knob)} ${k ? "at most" : "at least"}` }));
  return h("div", { className: "range" }, inputs[0], "to", inputs[1]);
  function apply() {
    const [low, high] = inputs.map((input) => Number(input.value));
    const test = (v) => (v ?? 0) >= low && (v ?? 0) <= high;
    test.ends = [low, high];
    setFilter(knob, test);
  }
}

function setFilter(knob, keep) {
  if (keep) state.filters[knob] = keep;
  else delete state.filters[knob];
  drawFront();
  drawRecipes();
}

async function chooseRisk(name) {
  state.risk = name;
  const about = data.risks.find((r) => r.column === name);
  risk = { ...about, ...(await chunk(`risk/${name}`)) };
  remember();
  drawAll();
}

// ---- selection --------------------------------------------------------------------------------------------------

function select(id, slot = 0) {
  const other = state.selected[1 - slot];
  if (slot === 1 && !state.selected.length) slot = 0;
  state.selected[slot] = id;
  if (other === id) state.selected.splice(1);
  remember();
  drawSelection();
}

function clearCompared() {
  state.selected.splice(1);
  remember();
  drawSelection();
}

function remember() {
  const [recipe, compare] = state.selected;
  const parts = new URLSearchParams({ recipe, ...(compare && { compare }), ...(state.risk !== data.risk && { risk: state.risk }) });
  history.replaceState(null, "", `#${parts}`);
}

/** The selection and risk that the address names, where the sweep has them. */
function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const named = [parts.get("recipe"), parts.get("compare")].filter((id) => place.has(id));
  if (named.length) state.selected = [...new Set(named)];
  if (data.risks.some((r) => r.column === parts.get("risk"))) state.risk = parts.get("risk");
}

function drawSelection() {
  drawFront();
  drawCompare();
  drawRecipes();
  drawLegend();
  drawPanels();
  drawWho();
}

function drawLegend() {
  for (const legend of document.querySelectorAll(".legend"))
    legend.replaceChildren(...state.selected.map((id, slot) =>
      h("span", {}, h("i", { className: `dot ${"ab"[slot]}` }), data.labels[place.get(id)])));
}

async function drawCompare() {
  const ids = [...state.selected];
  const details = await Promise.all(ids.map((id) => chunk(`recipe/${id}`)));
  if (ids.join() !== state.selected.join()) return;
  const rows = ids.map((id) => place.get(id));
  const names = ["test_accuracy", "risk", ...Object.keys(data.columns).filter((n) => n !== "test_accuracy" && !data.knobs.includes(n) && n !== "optimizer")];
  const shown = names.filter((n) => rows.some((i) => known(column(n).value[i])));
  const head = ids.map((id, slot) => h("th", { className: "slot num", scope: "col" },
    h("span", {}, h("i", { className: `dot ${"ab"[slot]}` }), data.labels[rows[slot]]),
    h("div", { style: "justify-content:flex-end" }, copyButton("Copy spec", details[slot]?.snippet ?? ""),
      slot ? h("button", { className: "quiet", type: "button", onclick: clearCompared, "aria-label": "Stop comparing" }, "✕") : null)));
  const paired = ids.length === 2 && pairedWith(details, ids);
  const body = shown.map((name) => h("tr", {}, h("td", {}, title(name)),
    rows.map((i) => h("td", { className: "num" }, withInterval(name, i))),
    ids.length === 2 ? h("td", { className: "num" }, paired(name === "risk" ? state.risk : name, name, rows)) : null));
  const knobs = [...new Set(details.flatMap((d) => Object.keys(d?.knobs ?? {})))];
  const differ = (knob) => data.knobs.includes(knob) || new Set(details.map((d) => String(d?.knobs?.[knob]))).size > 1;
  const common = knobs.filter((knob) => !differ(knob)).map((knob) => `${knob} ${details[0].knobs[knob]}`);
  const recipe = knobs.filter(differ).map((knob) => h("tr", {}, h("td", { className: "muted" }, knob),
    details.map((d) => h("td", { className: "num" }, known(d?.knobs?.[knob]) ? String(d.knobs[knob]) : "–")), ids.length === 2 ? h("td", {}) : null));
  const sheet = () => shown.map((name) => Object.assign({ figure: name === "risk" ? state.risk : name }, ...rows.map((i, slot) =>
    Object.fromEntries(["value", "low", "high"].map((end) => [`${end} of ${data.labels[i]} (${ids[slot]})`, column(name)[end]?.[i]])))));
  const compared = ids.length === 2 && shown.some((name) => paired.found(name === "risk" ? state.risk : name));
  $("compare").replaceChildren(
    h("div", { className: "head" }, h("h3", {}, ids.length === 2 ? "Two recipes compared" : "Selected recipe"),
      copyButton("Copy link", () => { remember(); return location.href; }), csvButton("comparison", sheet)),
    h("div", { className: "scroll" }, h("table", { id: "compare-table" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, ""), head, ids.length === 2 ? h("th", { className: "num", scope: "col" }, "Difference, first − second") : null)),
      h("tbody", {}, body, recipe))),
    compared ? h("p", { className: "note" }, "Differences with intervals are paired over shared subset seeds. Each p allows for all recipes compared with the reference (Holm), the interval for this one alone: it may leave out 0 where p does not.") : "",
    common.length ? h("p", { className: "note" }, `Training: ${common.join(", ")}.`) : "",
    ids.length === 1 ? h("p", { className: "note" }, "Shift-click a point, or press “compare” in the table, to set another beside it.") : "");
}

/** Differences: paired over shared seeds where the audit compared the two, else of the two estimates. */
function pairedWith(details, ids) {
  const found = [[details[0], ids[1], 1], [details[1], ids[0], -1]].map(([d, other, sign]) =>
    [new Map((d?.comparisons ?? []).filter((c) => c.reference_id === other).map((c) => [c.figure, c])), sign]);
  const of = (figure) => found.find(([map]) => map.has(figure)) ?? [];
  return Object.assign(difference, { found: (figure) => of(figure).length > 0 });

  function difference(figure, name, rows) {
    const [table, sign] = of(figure);
    const signed = (v, like) => (v > 0 ? "+" : "") + form(name, v, like).replace(" %", " points").replace("-", "−");
    if (!table) {
      const [x, y] = rows.map((i) => column(name).value[i]);
      return typeof x === "number" && typeof y === "number" ? h("span", { className: "muted" }, signed(x - y)) : "";
    }
    const { difference: middle, low, high, p_adjusted, p_value } = table.get(figure);
    const ends = [sign * low, sign * high].sort((a, b) => a - b);
    const p = p_adjusted ?? p_value;
    return [signed(sign * middle), h("span", { className: "ci" }, `${between(...ends.map((end) => signed(end, middle)))}${known(p) ? `, p ${p < 0.001 ? "< 0.001" : p.toPrecision(2)}` : ""}`)];
  }
}

function copyButton(text, content) {
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

// ---- tables -------------------------------------------------------------------------------------------------------

function saveCsv(name, rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  // A leading apostrophe keeps spreadsheets from running text of a spec as a formula.
  const cell = (v) => (!known(v) ? "" : typeof v === "number" ? v : `"${String(v).replace(/^[=+\-@]/, "'$&").replace(/"/g, '""')}"`);
  const text = [names.map(cell).join(","), ...rows.map((row) => names.map((n) => cell(row[n])).join(","))].join("\n");
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `${name}.csv` });
  link.click();
  URL.revokeObjectURL(link.href);
}

const csvButton = (name, rows) =>
  h("button", { className: "quiet", type: "button", onclick: async () => saveCsv(name, await rows()) }, "CSV");

/** Every column of every recipe, all risks with their intervals. */
async function everything() {
  const risks = await Promise.all(data.risks.map((r) => chunk(`risk/${r.column}`)));
  const columns = [...Object.entries(data.columns), ...data.risks.map((r, k) => [r.column, risks[k]])];
  return data.ids.map((id, i) => Object.fromEntries([["recipe_id", id], ["label", data.labels[i]],
    ...columns.flatMap(([name, c]) => [[name, c.value[i]], ...(c.low ? [[`${name}_low`, c.low[i]], [`${name}_high`, c.high[i]]] : [])])]));
}

function drawRecipes() {
  const names = ["test_accuracy", "risk", ...["front_probability", "memorization", "train_seconds"].filter((n) => data.columns[n])];
  const [by, sign] = state.sort;
  const value = (i) => (by === "label" ? data.labels[i] : column(by)?.value[i]);
  const order = visible().sort((i, j) => !known(value(i)) - !known(value(j)) || sign * (value(i) > value(j) ? 1 : value(i) < value(j) ? -1 : 0));
  const header = (name, text) => h("th", { className: name === "label" ? "" : "num", scope: "col", "aria-sort": by === name ? (sign > 0 ? "ascending" : "descending") : "none" },
    h("button", { type: "button", onclick: () => { state.sort = [name, by === name ? -sign : name === "risk" || name === "label" ? 1 : -1]; drawRecipes(); } },
      text + (by === name ? (sign > 0 ? " ↑" : " ↓") : "")));
  const front = new Set(frontOf(order));
  const row = (i) => h("tr", { className: "ab"[state.selected.indexOf(data.ids[i])] ?? "" },
    h("td", {}, h("button", { className: "link", type: "button", onclick: (e) => select(data.ids[i], e.shiftKey ? 1 : 0) }, data.labels[i]),
      front.has(i) ? h("span", { className: "ci" }, "on the front") : null),
    names.map((n) => h("td", { className: "num" }, withInterval(n, i), n === "front_probability" && known(column(n).value[i]) ? meter(column(n).value[i]) : null)),
    h("td", { className: "num" }, h("button", { className: "quiet", type: "button", "aria-label": `Compare ${data.labels[i]}`, onclick: () => select(data.ids[i], 1) }, "compare")));
  $("recipes").replaceChildren(
    h("div", { className: "head" }, h("h3", {}, `Recipes (${order.length})`), csvButton("recipes", everything)),
    h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Recipes" }, h("table", { id: "recipe-table" },
      h("thead", {}, h("tr", {}, header("label", "Recipe"), names.map((n) => header(n, title(n))), h("th", {}, ""))),
      h("tbody", {}, order.slice(0, state.rows).map(row)))),
    order.length > state.rows ? h("button", { className: "quiet", type: "button", onclick: () => { state.rows *= 4; drawRecipes(); } }, `Show more of ${order.length}`) : "",
    data.columns.front_probability ? h("p", { className: "note" }, `The probability to be on the front is the share of bootstrap resamples of the seeds in which no recipe beats it (in ${data.risks.find((r) => r.column === data.risk).title}).`) : "");
}

const meter = (share) => h("span", { className: "meter", "aria-hidden": "true" }, h("i", { style: `width:${100 * share}%` }));

function plainTable(name, text, rows, columns) {
  const cells = (row) => columns.map(([key, , show]) => h("td", { className: typeof row[key] === "number" ? "num" : "" }, show ? show(row) : known(row[key]) ? String(row[key]) : "–"));
  return [h("div", { className: "head" }, h("h3", {}, text), csvButton(name, () => rows)),
    h("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": text }, h("table", {},
      h("thead", {}, h("tr", {}, columns.map(([, label]) => h("th", { scope: "col" }, label)))),
      h("tbody", {}, rows.slice(0, 300).map((row) => h("tr", {}, cells(row))))))];
}

// ---- decide -------------------------------------------------------------------------------------------------------

/** Recipes whose estimate keeps a limit, best first by the other objective, then by this one; ``sure``: their whole interval does.
 *  The rule of ``flatleak recommend`` (analysis/recommend.py). */
function affordable(name, limit) {
  const accuracy = data.columns.test_accuracy;
  const [x, y, sign] = name === "risk" ? [risk, accuracy, -1] : [accuracy, risk, 1];
  const keeps = (v) => known(v) && (name === "risk" ? v <= limit : v >= limit);
  return range(data.ids.length)
    .filter((i) => keeps(x.value[i]) && known(y.value[i]))
    .map((i) => ({ i, sure: keeps((name === "risk" ? x.high : x.low)?.[i]) }))
    .sort((p, q) => sign * (y.value[p.i] - y.value[q.i]) || sign * (x.value[q.i] - x.value[p.i]));
}

function drawDecide() {
  slider("by-risk", "risk", `${risk.title} at most`, "The most accurate recipe", "test_accuracy");
  slider("by-accuracy", "test_accuracy", "Test accuracy at least", "The recipe that leaks least", "risk");
}

function slider(id, name, text, best, other) {
  const { value, low, high } = column(name);
  const ends = value.flatMap((v, i) => [v, low?.[i], high?.[i]]).filter(known);
  const [from, to] = [Math.min(...ends), Math.max(...ends)];
  const start = state[id] ?? (known(risk.knee) ? column(name)[name === "risk" ? "high" : "low"]?.[risk.knee] ?? value[risk.knee] : (from + to) / 2);
  const limit = Math.min(Math.max(start, from), to);
  const answer = h("div", { className: "answer", "aria-live": "polite" });
  const output = h("output", {});
  const input = h("input", { type: "range", min: from, max: to, step: "any", value: limit, id: `${id}-input`, "aria-label": text, oninput: () => { state[id] = Number(input.value); show(); } });
  $(id).replaceChildren(h("div", { className: "slider" }, h("label", { className: "muted", htmlFor: `${id}-input` }, text), output, input), answer);
  show();
  function show() {
    const bound = Number(input.value);
    output.textContent = form(name, bound);
    input.setAttribute("aria-valuetext", form(name, bound));
    const [first, ...next] = affordable(name, bound);
    if (!first) {
      answer.replaceChildren(h("p", {}, "No recipe of this sweep keeps that limit."));
      return;
    }
    const safest = first.sure ? null : next.find((choice) => choice.sure);
    answer.replaceChildren(
      h("div", {}, h("span", { className: "muted" }, `${best}: `), h("strong", {}, entry(first))),
      h("p", { className: "num" }, [other, name].map((n) => h("span", { className: "figure" }, `${title(n)} `, withInterval(n, first.i)))),
      h("p", { className: "note" }, first.sure ? "Its whole interval keeps the limit." : ["Its interval reaches beyond the limit. ", safest ? ["The best whose whole interval keeps it: ", entry(safest), "."] : "No recipe's whole interval keeps it."]),
      next.length ? h("ol", { start: 2 }, next.slice(0, 3).map((choice) => h("li", {}, entry(choice), " ", withInterval(other, choice.i)))) : "");
  }
  function entry({ i }) {
    return h("button", { className: "link", type: "button", onclick: () => select(data.ids[i]) }, data.labels[i]);
  }
}

// ---- panels -------------------------------------------------------------------------------------------------------

const seen = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries)
    if (isIntersecting && !seen.has(target.dataset.panel)) {
      seen.add(target.dataset.panel);
      drawPanel(target.dataset.panel);
    }
}, { rootMargin: "400px" });

function placePanels() {
  watcher.disconnect();
  for (const [section, names] of Object.entries(data.sections)) {
    $(`${section}-panels`).replaceChildren(...names.filter((n) => data.panels[n]).map((name) => {
      const { title: text, about } = data.panels[name];
      const figure = h("div", { className: ["objectives", "theory"].includes(name) ? "card broad" : "card", "data-panel": name }, h("h3", {}, text),
        h("div", { className: "plot", id: `panel-${name}`, role: "img", "aria-label": `${text}. ${about}` }), h("p", { className: "facts-line num" }), h("p", { className: "note" }, about));
      watcher.observe(figure);
      return figure;
    }));
  }
}

function drawPanels() {
  for (const name of seen) drawPanel(name);
}

async function drawPanel(name) {
  const { backdrop, layout, ofRecipe } = data.panels[name];
  const ids = ofRecipe ? [...state.selected] : [];
  const details = await Promise.all(ids.map((id) => chunk(`recipe/${id}`)));
  if (ofRecipe && ids.join() !== state.selected.join()) return;
  const slots = details.map((d, k) => paint(d?.traces[name] ?? [], { slot: "@" + "ab"[k], "slot-soft": `@${"ab"[k]}-soft` }));
  const own = slots.flat().filter((t) => !t.meta || t.meta === risk.attack);
  const where = $(`panel-${name}`);
  const nothing = ofRecipe ? !own.length : !backdrop.length;
  if (nothing) {
    await loadPlotly();
    Plotly.purge(where);
    where.replaceChildren(h("div", { className: "empty" }, emptyBecause(name, ids)));
    return;
  }
  if (where.querySelector(".empty")) where.replaceChildren();
  const facts = slots.flatMap((traces, k) => traces.filter((t) => t.name && own.includes(t)).map((t) =>
    h("span", { className: "fact" }, h("i", { className: `dot ${"ab"[k]}` }), t.name)));
  where.parentElement.querySelector(".facts-line").replaceChildren(...facts);
  const shown = ids.map((id) => data.labels[place.get(id)]);
  where.setAttribute("aria-label", [data.panels[name].title, data.panels[name].about, ...(ofRecipe ? shown : []), ...facts.map((f) => f.textContent)].join(". "));
  await plot(where, [...backdrop.map(marked), ...own], { dragmode: false, ...layout });
}

/** Parallel coordinates with the selected recipes in their own colours: 0 dominated, 1 on the front, 2 and 3 selected. */
function marked(trace) {
  if (trace.type !== "parcoords") return trace;
  const slot = trace.customdata.map((id) => state.selected.indexOf(id));
  return { ...trace, line: { ...trace.line, color: trace.line.color.map((c, k) => (slot[k] < 0 ? c : 2 + slot[k])) } };
}

function emptyBecause(name, ids) {
  if ((name === "pairs" || name === "buckets") && ids.length === 1 && ids[0] === data.reference) return "This is the reference itself: select another recipe.";
  if (["roc", "scores", "exposure"].includes(name) && !data.attacks.includes(risk.attack)) return `To keep the page small it has these curves for ${data.attacks.join(", ")} only; results/ has them all.`;
  return name === "growth" ? "The audit of this sweep left no history." : `The audit has nothing of this for the selected recipe${ids.length > 1 ? "s" : ""}.`;
}

// ---- who ------------------------------------------------------------------------------------------------------------

const GALLERIES = { memorized: ["Most memorized", "memorization"], exposed: ["Most exposed", "risk"] };

async function drawWho() {
  const where = $("who-body");
  if (!data.showExamples) {
    where.replaceChildren(h("div", { className: "card" }, h("p", { className: "muted" }, "The spec says show_examples: false, so this page holds no examples, no labels and no pictures.")));
    return;
  }
  const ids = [...state.selected];
  const [pictures, ...details] = await Promise.all([chunk("pictures"), ...ids.map((id) => chunk(`recipe/${id}`))]);
  if (ids.join() !== state.selected.join()) return;
  const cards = details.flatMap((d, slot) => Object.entries(d?.who ?? {}).map(([kind, examples]) => gallery(kind, examples, pictures, slot)));
  where.replaceChildren(...(cards.length ? cards : [h("div", { className: "card" }, h("p", { className: "muted" }, "The audit left no table of examples for this recipe."))]));
}

function gallery(kind, examples, pictures, slot) {
  const [text] = GALLERIES[kind];
  return h("div", { className: "card gallery-card" },
    h("div", { className: "head" }, h("h3", {}, h("i", { className: `dot ${"ab"[slot]}` }), `${text} by ${data.labels[place.get(state.selected[slot])]}`),
      csvButton(`${kind}-${state.selected[slot]}`, () => examples.map(({ helps, harms, ...rest }) => ({ ...rest, helps: joined(helps), harms: joined(harms) })))),
    h("div", { className: "gallery" }, examples.map((e) => example(e, pictures))));
}

const joined = (pairs) => (pairs ?? []).map((p) => `${p.test}:${p.influence}`).join(" ");
const named = (label, pictures) => pictures.classes[label] ?? `class ${label}`;

function example(e, pictures) {
  const shown = pictures.train[e.index];
  const attack = data.risks.find((r) => r.column === data.risk).attack;
  const exposure = e[`risk_${attack}`];
  return h("div", { className: "example" },
    shown?.picture ? h("img", { src: shown.picture, alt: `Training example ${e.index}, labelled ${named(e.label, pictures)}`, loading: "lazy" }) : null,
    shown?.features ? h("code", {}, `${shown.features} …`) : null,
    h("strong", {}, named(e.label, pictures)), h("span", { className: "muted" }, ` #${e.index}`),
    e.canary ? h("span", { className: "flag" }, " mislabelled canary") : null,
    h("p", { className: "num" }, `memorization ${known(e.memorization) ? e.memorization.toFixed(2) : "–"}`),
    known(exposure) ? h("p", { className: "num muted" }, `risk ${exposure.toFixed(2)}`) : null,
    touched("helps", e.helps, pictures), touched("harms", e.harms, pictures));
}

function touched(verb, pairs, pictures) {
  if (!pairs?.length) return null;
  return h("p", { className: "muted" }, `${verb} `, pairs.map(({ test, influence }) => {
    const shown = pictures.test[test];
    const text = `test point ${test}${shown ? `, ${named(shown.label, pictures)}` : ""}, influence ${influence}`;
    return shown?.picture ? h("img", { className: "mini", src: shown.picture, alt: text, title: text, loading: "lazy" }) : h("span", { title: text }, `#${test} `);
  }));
}

// ---- claims and how ---------------------------------------------------------------------------------------------------

function drawClaims() {
  const rows = data.tables.claims ?? [];
  if (!rows.length) {
    $("claims-body").replaceChildren(h("p", { className: "muted" }, "This sweep has no pair of recipes that a published claim speaks of."));
    return;
  }
  const firstOf = new Map([...rows].reverse().map((row) => [row.claim, row]));
  const label = (id) => data.labels[place.get(id)] ?? id ?? "";
  const number = (v) => (known(v) ? (v > 0 ? "+" : "") + Number(v.toPrecision(3)) : "–");
  const tally = ["reproduced", "contradicted", "cannot tell"].map((v) => `${rows.filter((row) => row.verdict === v).length} ${v}`).join(", ");
  const verdict = (row) => h("span", { className: `verdict ${row.verdict === "cannot tell" ? "unclear" : row.verdict}` }, row.verdict);
  $("claims-body").replaceChildren(...plainTable("claims", `${rows.length} measured: ${tally}`, rows, [
    ["claim", "Claim", (r) => (r === firstOf.get(r.claim) ? r.claim : "")], ["published", "Published", (r) => (r.published ?? "").replaceAll("->", "→")],
    ["definition", "Measured", (r) => [r.definition ?? r.figure, h("span", { className: "ci" }, r.records ?? `${label(r.recipe_id)} against ${label(r.reference_id)}`)]],
    ["estimate", "Estimate", (r) => [number(r.estimate), known(r.low) ? h("span", { className: "ci" }, `${number(r.low)} to ${number(r.high)}`) : null]],
    ["verdict", "Here", verdict]]));
}

function facts(pairs) {
  return h("dl", { className: "facts" }, pairs.filter(([, v]) => known(v) && v !== "").map(([name, v]) => [h("dt", {}, name), h("dd", {}, flat(v))]));
}

/** A JSON value as a reader's text. */
function flat(value) {
  if (Array.isArray(value)) return value.map(flat).join("; ");
  if (value && typeof value === "object") return Object.entries(value).filter(([, v]) => known(v)).map(([k, v]) => `${k} ${flat(v)}`).join(", ");
  return String(value);
}

function drawHow() {
  const about = data.about;
  const seconds = data.columns.train_seconds?.value.reduce((sum, v, i) => sum + (v ?? 0) * (data.columns.replicas?.value[i] ?? 0), 0);
  const context = about.context ?? {};
  const run = facts([["Data set", context.dataset], ["Fingerprint", context.fingerprint], ["Model", context.model], ["Subsets", context.subsets], ["Queries an example", context.queries], ["Intervals", known(data.confidence) ? `${100 * data.confidence} %` : null],
    ["Recipes", data.ids.length], ["Replicas a recipe", about.seeds], ["Replicas in lockstep", about.stack], ["Training time, all replicas", seconds ? `${seconds.toPrecision(3)} s` : null],
    ["Versions", about.versions], ["Hardware", about.hardware], ["Revision", about.git], ["Started", about.created]]);
  const leftOut = data.leftOut.map(({ note, recipes }) => h("li", {}, note, h("span", { className: "muted" },
    recipes.length === data.ids.length ? " (every recipe)" : recipes.length ? ` (${recipes.slice(0, 6).join("; ")}${recipes.length > 6 ? `; and ${recipes.length - 6} more` : ""})` : "")));
  const tables = Object.entries(data.tables).filter(([name]) => name !== "claims");
  $("how-body").replaceChildren(h("div", { className: "stack" },
    h("div", { className: "pair" },
      h("div", { className: "card" }, h("h3", {}, "The run"), run),
      h("div", { className: "card" }, h("div", { className: "head" }, h("h3", {}, "The spec"), copyButton("Copy", data.spec)), h("pre", {}, data.spec))),
    h("div", { className: "card", id: "left-out" }, h("h3", {}, "Left out, and not resolvable"),
      leftOut.length ? h("ul", { className: "plainlist" }, leftOut) : h("p", { className: "muted" }, "The audit left nothing out.")),
    h("div", { className: "card" }, data.failures.length ? plainTable("failures", `Failures (${data.failures.length})`, data.failures, [...new Set(data.failures.flatMap(Object.keys))].map((k) => [k, k, (r) => flat(r[k] ?? "–")]))
      : [h("h3", {}, "Failures"), h("p", { className: "muted" }, "No trial of this sweep left a failure behind.")]),
    tables.length ? h("div", { className: "card" }, h("div", { className: "head" }, h("h3", {}, "More tables"), tables.map(([name, rows]) =>
      h("button", { className: "quiet", type: "button", onclick: () => saveCsv(name, rows) }, `${name}.csv`)))) : ""));
}

// ---- the whole page -----------------------------------------------------------------------------------------------------

function drawIntro() {
  const count = data.ids.length;
  const { dataset, model } = data.about.context ?? {};
  $("name").textContent = data.name;
  $("lead").textContent = [`${count} training recipes`, data.about.seeds && `${data.about.seeds} replicas each`, dataset?.name && `data set ${dataset.name}`, model?.name && `model ${model.name}`].filter(Boolean).join(" · ") +
    ". How accurate is each, and how much does it tell about who was in its training set?";
  // That an attack needs queries or data which the sweep does not record says nothing of the figures shown.
  const [gravest, ...more] = data.leftOut.filter(({ note }) => !/: left out, it needs /.test(note));
  $("caution").hidden = !gravest;
  if (gravest) $("caution").replaceChildren(`Mind: ${gravest.note}. `, more.length ? h("a", { href: "#left-out" }, `And ${more.length} more`) : "");
  const accuracy = data.columns.test_accuracy.value;
  const best = range(count).reduce((i, j) => ((accuracy[j] ?? -1) > (accuracy[i] ?? -1) ? j : i), 0);
  const drawn = range(count).filter((i) => known(risk.value[i]));
  const least = drawn.filter((i) => known(risk.reference) && accuracy[i] >= accuracy[risk.reference]).sort((i, j) => risk.value[i] - risk.value[j])[0];
  const tiles = [["Reference", risk.reference], ["Most accurate", best], ["Best balance on the front", risk.knee], ["Leaks least, as accurate as the reference", least]];
  const merged = new Map();
  for (const [text, i] of tiles) if (known(i)) merged.set(i, merged.has(i) ? `${merged.get(i)}; ${text.toLowerCase()}` : text);
  $("tiles").replaceChildren(...[...merged].map(([i, text]) =>
    h("button", { className: "tile", type: "button", onclick: () => select(data.ids[i]) }, h("small", {}, text), h("b", {}, data.labels[i]),
      h("dl", {}, h("div", {}, h("dt", {}, "accuracy"), h("dd", {}, withInterval("test_accuracy", i))), h("div", {}, h("dt", {}, risk.title), h("dd", {}, withInterval("risk", i)))))));
}

function drawAll() {
  drawIntro();
  drawControls();
  drawFilters();
  drawSelection();
  drawDecide();
}

function setTheme(next) {
  document.documentElement.dataset.theme = next;
  $("theme").textContent = next === "dark" ? "Light" : "Dark";
}

/** Takes in the page's present chunks; ``version`` tells watchers of the page which ones are on the screen. */
async function adopt(version) {
  data = await chunk("summary");
  document.body.dataset.filled = "yes";
  place = new Map(data.ids.map((id, i) => [id, i]));
  state.selected = state.selected.filter((id) => place.has(id));
  if (!state.selected.length) state.selected = [...data.selected];
  if (!data.risks.some((r) => r.column === state.risk)) state.risk = data.risk;
  recall();
  placePanels();
  await chooseRisk(state.risk);
  drawClaims();
  drawHow();
  performance.mark("text");
  await loadPlotly();
  performance.mark("figures");
  document.body.dataset.ready = version;
}

async function start() {
  setTheme(theme());
  $("theme").onclick = () => { setTheme(theme() === "dark" ? "light" : "dark"); drawFront(); drawPanels(); };
  $("front-plot").addEventListener("keydown", walk);
  if (innerWidth < 860) $("filters").open = false;
  addEventListener("hashchange", () => { if (location.hash.includes("recipe=")) { recall(); chooseRisk(state.risk); } });
  if (document.body.dataset.live) return watch();
  await adopt("yes");
}

// ---- live: ask the server that served this page for newer results ---------------------------------------------------------

async function watch() {
  $("live").hidden = false;
  let version = null;
  for (;;) {
    try {
      const now = await (await fetch("version")).json();
      $("live-text").textContent = `Live: ${now.done} of ${now.total} replicas${now.note ? `. ${now.note}` : ""}`;
      $("live-bar").value = now.total ? now.done / now.total : 0;
      if (now.version && now.version !== version) {
        const chunks = await (await fetch("payload")).json();
        unpacked.clear();
        for (const [name, text] of Object.entries(chunks)) packed.set(name, text);
        version = now.version;
        await adopt(version);
      }
    } catch {
      $("live-text").textContent = "Live: the server does not answer";
    }
    await new Promise((wake) => setTimeout(wake, 2000));
  }
}

start();
