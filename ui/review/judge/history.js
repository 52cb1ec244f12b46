// @ts-check
// Draws the list of what was judged, the last first.

import { makeButton, part } from "../../static/lib/dom.js";
import { listedWords } from "./words.js";

/** @import { State } from "./types.js" */

/**
 * Draw the list, or add to it what is new: whoever reads on stays where they are.
 * @param {HTMLElement} element
 * @param {State["history"]} before
 * @param {State["history"]} after
 * @param {(pair: number) => void} open  what a press on a line does
 */
export function drawHistory(element, before, after, open) {
  if (after === before) return;
  const list = part(element, "verdicts");
  const goesOn = before.listed.length > 0 && after.listed[0] === before.listed[0];
  if (!goesOn) list.replaceChildren();
  list.append(
    ...after.listed.slice(goesOn ? before.listed.length : 0).map((given) => {
      const line = document.createElement("li");
      const button = makeButton(listedWords(given));
      button.dir = "auto";
      button.addEventListener("click", () => open(given.pair));
      line.append(button);
      return line;
    }),
  );
  if (!after.listed.length) list.textContent = "You have not judged any pair yet.";
  part(element, "older").hidden = !after.more;
}
