/* Sections that fold: closed on a phone until asked for, open on paper and where a link leads into them. */

const PHONE = 560; // pixels
const FIRST = "decide"; // what a phone shows opened

const folds = () => [...document.querySelectorAll(".fold")];
let closed = []; // what printing has opened

export function startFolds() {
  if (innerWidth <= PHONE) for (const fold of folds()) fold.open = fold.parentElement.id === FIRST;
  document.addEventListener("click", ({ target }) => {
    const link = target.closest?.('a[href^="#"]');
    if (link) reveal(document.getElementById(link.getAttribute("href").slice(1)));
  });
}

/** Opens all that an element is folded in. */
export function reveal(element) {
  const inside = element?.querySelector(":scope > .fold");
  if (inside) inside.open = true;
  for (let fold = element?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
}

export function unfoldForPrint(printing) {
  if (printing) closed = folds().filter((fold) => !fold.open);
  for (const fold of closed) fold.open = printing;
}
