// @ts-check
// A row's number in the check report is a button: the page shows that row.

/** @import { Component } from "../static/lib/dom.js" */

/**
 * What Gradio calls when the component is on the page.
 * @param {Component & { trigger: (event: string, data: object) => void }} component
 */
export function mount({ element, trigger }) {
  element.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("button[data-row]");
    if (!button) return;
    trigger("jump", { row: Number(/** @type {HTMLElement} */ (button).dataset.row) });
    document.querySelector("#rows")?.scrollIntoView({ behavior: "smooth", block: "center" });
  });
}
