/* The page of several sweeps: takes the summary in, says what is drawn when, and starts. */

import { chunk } from "./chunks.js";
import { drawDifferences } from "./differences.js";
import { $ } from "./dom.js";
import { on, tell } from "./events.js";
import { drawFronts, placeFronts, walkLabels } from "./fronts.js";
import { menu } from "./controls.js";
import { holdLoad, startPrint } from "./print.js";
import { data, setData, setRisk, state } from "./state.js";
import { startTheme } from "./theme.js";
import { explainWords, glossary } from "./words.js";

on("risk", drawFronts, drawDifferences, explainWords);
on("selection", drawFronts, drawDifferences);
on("theme", drawFronts);

/** The chosen risk of every sweep. */
async function chooseRiskOfAll(name) {
  state.risk = name;
  setRisk({ ...data.risks.find((r) => r.column === name), sweeps: await chunk(`risk/${name}`) });
  history.replaceState(null, "", `#risk=${encodeURIComponent(name)}`);
  tell("risk");
}

async function start() {
  startTheme();
  startPrint();
  const release = holdLoad();
  const summary = await chunk("summary");
  const all = summary.sweeps.flatMap((sweep) => sweep.accuracy.value);
  setData({ ...summary, columns: { test_accuracy: { value: all } }, ids: [], titles: {} });
  $("name").textContent = data.sweeps.map((sweep) => sweep.name).join(", ");
  const named = new URLSearchParams(location.hash.slice(1)).get("risk");
  const first = data.risks.some((r) => r.column === named) ? named : data.risk;
  $("controls").replaceChildren(menu("Risk", "risk-menu", data.risks.map((r) => [r.column, r.title]), first, chooseRiskOfAll));
  placeFronts();
  $("glossary").replaceChildren(glossary());
  $("fronts").addEventListener("keydown", walkLabels);
  await chooseRiskOfAll(first);
  await drawFronts();
  release();
  document.body.dataset.ready = "yes";
}

start();
