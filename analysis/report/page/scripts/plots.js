/* Plotly: loaded once, drawing one figure at a time in the present theme. */

import { withLogTicks } from "./axes.js";
import { inflate } from "./chunks.js";
import { h, paint } from "./dom.js";
import { data, names, state } from "./state.js";

const CONFIG = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]], displayModeBar: "hover" };
const NARROW = 460; // pixels
const plotlyCode = inflate(document.querySelector("script[data-chunk=plotly]").textContent);
const drawn = new Map(); // element -> traces and layout, colours still named
let plotly;

/** Plotly, evaluated once and only after the page's text is on the screen: it takes longer than all else. */
export function loadPlotly() {
  plotly ??= plotlyCode
    .then((code) => new Promise((painted) => setTimeout(() => painted(code))))
    .then((code) => document.head.append(h("script", { textContent: code })));
  return plotly;
}

export async function plot(where, traces, layout) {
  await loadPlotly();
  drawn.set(where, [traces, layout]);
  return react(where, traces, layout);
}

/** Every figure again, before this returns: a browser that prints does not wait. */
export function redrawPlots() {
  for (const [where, [traces, layout]] of drawn) react(where, traces, layout);
}

function react(where, traces, layout) {
  const narrow = !state.print && where.clientWidth < NARROW;
  const painted = paint({ ...data.base, ...withLogTicks(traces, layout) }, names());
  if (narrow) Object.assign(painted, { dragmode: false, margin: tighter(painted.margin) });
  if (state.print) Object.assign(painted, printSize(where));
  return globalThis.Plotly.react(where, paint(traces, names()), painted, { ...CONFIG, displayModeBar: narrow ? false : "hover" });
}

/** Paper is narrower than a screen; the page's style gives figures these widths when it prints. */
function printSize(where) {
  const wide = where.matches(".tall, .broad");
  return { autosize: false, width: wide ? 650 : 310, height: wide ? 340 : 250 };
}

const tighter = ({ l, r, ...others }) => ({ ...others, l: Math.min(l, 48), r: Math.max(8, Math.min(r, 36)) });

export function clearPlot(where) {
  globalThis.Plotly?.purge(where);
  drawn.delete(where);
  where.replaceChildren();
}
