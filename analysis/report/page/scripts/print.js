/* On paper: everything drawn, in light colours and in the width of a page, every recipe in the table. */

import { h } from "./dom.js";
import { tell } from "./events.js";
import { unfoldForPrint } from "./folds.js";
import { redrawPlots } from "./plots.js";
import { state } from "./state.js";

function setPrint(printing) {
  if (state.print === printing) return;
  state.print = printing;
  document.documentElement.classList.toggle("printing", printing);
  unfoldForPrint(printing);
  redrawPlots();
  tell("print");
}

/** Holds the load event back, as long as a frame in here is being written: a browser that prints a page without
 *  showing it, such as `chromium --headless --print-to-pdf`, waits for that event and for nothing else. */
export function holdLoad() {
  const frame = h("iframe", { hidden: true });
  document.body.append(frame);
  frame.contentDocument.open();
  return () => {
    frame.contentDocument?.close(); // none where the page is being left
    frame.remove();
  };
}

export function startPrint() {
  addEventListener("beforeprint", () => setPrint(true));
  addEventListener("afterprint", () => setPrint(false));
}
