/* Captions: on the screen what the figure alone is about; on paper and when copied also where it comes from. */

import { h } from "./dom.js";
import { copyButton } from "./export.js";
import { data } from "./state.js";

/** Children of a caption. `about`: the figure's risk and recipes; `shown`: what the screen says after them;
 *  `source`: which sweep it is of. */
export function caption(title, about, shown = "", source = data.caption) {
  const parts = about.filter(Boolean);
  const sentence = (...texts) => `${texts.join(". ")}.`;
  const onScreen = [...parts, shown].filter(Boolean);
  return [
    h("span", { className: "screen" }, onScreen.length ? sentence(...onScreen) : ""),
    h("span", { className: "paper" }, sentence(...parts, source)),
    " ",
    copyButton("Copy caption", () => sentence(title, ...parts, source)),
  ];
}
