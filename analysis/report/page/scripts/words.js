/* The glossary's words, each explained where the page first uses it: what it means on hover, its entry on a click. */

import { $, h } from "./dom.js";
import { reveal } from "./folds.js";
import { data } from "./state.js";
import { facts } from "./tables.js";

const SCOPES = ".lead, .tile small, .tile dt, main h2, .about, .panels h3, .panels .note";

/** Marks the first use of every word that is not marked; what an earlier call marked is forgotten first. */
export function explainWords() {
  for (const mark of document.querySelectorAll(".word")) {
    const text = mark.parentNode;
    mark.replaceWith(mark.textContent);
    text.normalize();
  }
  const missing = new Map(Object.keys(data.words).map((word) => [word.toLowerCase(), word]));
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT,
    (node) => (node.parentElement.closest(SCOPES) && !node.parentElement.closest(".word, code, .legend") ? NodeFilter.FILTER_ACCEPT : NodeFilter.FILTER_REJECT));
  for (let node = walker.nextNode(); node && missing.size; node = walker.nextNode()) {
    const found = firstIn(node.data, missing);
    if (!found) continue;
    const rest = node.splitText(found.index);
    rest.splitText(found[0].length);
    const word = missing.get(bare(found[0], missing));
    missing.delete(word.toLowerCase());
    rest.replaceWith(explained(word, found[0], node.parentElement.closest("button")));
    walker.currentNode = node;
  }
}

/** The leftmost of the words in a text, the longest where two start there. */
function firstIn(text, missing) {
  const words = [...missing.keys()].sort((a, b) => b.length - a.length).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`(?<![\\w-])(${words.join("|")})s?(?![\\w-])`, "i").exec(text);
}

const bare = (found, missing) => (missing.has(found.toLowerCase()) ? found.toLowerCase() : found.toLowerCase().replace(/s$/, ""));

/** Inside a button there is no room for another: there a word only says what it means. */
function explained(word, text, insideButton) {
  const about = { className: "word", title: data.words[word], "data-word": word };
  if (insideButton) return h("abbr", about, text);
  return h("button", { ...about, type: "button", "aria-label": `${text}: what is that?`, onclick: () => open(word) }, text);
}

/** The whole glossary, folded. */
export const glossary = () => h("details", { className: "card", id: "words" }, h("summary", {}, "Words"), facts(Object.entries(data.words)));

function open(word) {
  reveal($("words").firstElementChild);
  const entry = [...$("words").querySelectorAll("dt")].find((dt) => dt.textContent === word);
  entry.tabIndex = -1;
  entry.focus();
  entry.scrollIntoView({ block: "center" });
}
