/* The whole page: takes the summary in, says what is drawn when, and starts. */

import { drawClaims } from "./claims.js";
import { drawCompare } from "./compare.js";
import { chunk } from "./chunks.js";
import { drawControls } from "./controls.js";
import { drawDecide } from "./decide.js";
import { $ } from "./dom.js";
import { on, tell } from "./events.js";
import { drawFilters } from "./filters.js";
import { startFolds } from "./folds.js";
import { drawWho } from "./gallery.js";
import { drawHow } from "./how.js";
import { drawIntro } from "./intro.js";
import { recall } from "./links.js";
import { watch } from "./live.js";
import { drawOnUnfolding, drawPanels, drawRecipePanels, placePanels } from "./panels.js";
import { loadPlotly, redrawPlots } from "./plots.js";
import { holdLoad, startPrint } from "./print.js";
import { drawRecipes } from "./recipes.js";
import { chooseRisk, drawLegend } from "./selection.js";
import { drawShown } from "./shown.js";
import { data, place, setData, state } from "./state.js";
import { startTheme } from "./theme.js";
import { explainWords } from "./words.js";

on("selection", drawShown, drawCompare, drawRecipes, drawLegend, () => drawPanels(), drawWho);
on("risk", drawIntro, drawControls, drawFilters, () => tell("selection"), drawDecide, explainWords);
on("filter", drawShown, drawRecipes, drawRecipePanels);
on("style", drawFilters, drawRecipePanels);
on("theme", redrawPlots);
on("print", drawRecipes);

/** Takes in the page's present chunks; `version` tells watchers of the page which ones are on the screen. */
async function adopt(version) {
  setData(await chunk("summary"));
  document.body.dataset.filled = "yes";
  state.selected = state.selected.filter((id) => place.has(id));
  if (!state.selected.length) state.selected = [...data.selected];
  if (!data.risks.some((r) => r.column === state.risk)) state.risk = data.risk;
  recall();
  placePanels();
  await chooseRisk(state.risk);
  drawClaims();
  drawHow();
  explainWords();
  performance.mark("text");
  await loadPlotly();
  performance.mark("figures");
  document.body.dataset.ready = version;
}

function start() {
  startTheme();
  startFolds();
  drawOnUnfolding();
  startPrint();
  if (innerWidth < 860) $("filters").open = false;
  addEventListener("hashchange", () => {
    if (!location.hash.includes("recipe=")) return;
    recall();
    chooseRisk(state.risk);
  });
  on("drawn", () => (document.body.dataset.drawn = "yes"));
  if (document.body.dataset.live) return watch(adopt);
  on("drawn", holdLoad());
  return adopt("yes");
}

start();
