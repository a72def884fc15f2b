/* On paper: everything drawn, in light colours and in the width of a page, every recipe in the table. */

import { tell } from "./events.js";
import { state } from "./state.js";

function setPrint(printing) {
  if (state.print === printing) return;
  state.print = printing;
  document.documentElement.classList.toggle("printing", printing);
  tell("print");
}

export function startPrint() {
  addEventListener("beforeprint", () => setPrint(true));
  addEventListener("afterprint", () => setPrint(false));
}
