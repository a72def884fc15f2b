/* Light or dark: the system's choice, or the reader's. */

import { $ } from "./dom.js";
import { tell } from "./events.js";
import { theme } from "./state.js";

function setTheme(next) {
  document.documentElement.dataset.theme = next;
  $("theme").textContent = next === "dark" ? "Light" : "Dark";
}

export function startTheme() {
  setTheme(theme());
  $("theme").onclick = () => {
    setTheme(theme() === "dark" ? "light" : "dark");
    tell("theme");
  };
}
