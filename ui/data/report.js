// @ts-check
// A row's number in the check report is a button: the page shows that row. So is the wish for a
// report that was stopped.

/** @import { Component } from "../static/lib/dom.js" */

/**
 * What Gradio calls when the component is on the page.
 * @param {Component & { trigger: (event: string, data: object) => void }} component
 */
export function mount({ element, trigger }) {
  element.addEventListener("click", (event) => {
    const pressed = /** @type {HTMLElement} */ (event.target);
    if (pressed.closest("button[data-again]")) return trigger("again", {});
    const button = pressed.closest("button[data-row]");
    if (!button) return;
    trigger("jump", { row: Number(/** @type {HTMLElement} */ (button).dataset.row) });
    document.querySelector("#rows")?.scrollIntoView({ behavior: "smooth", block: "center" });
  });
}
