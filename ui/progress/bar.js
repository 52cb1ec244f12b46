// @ts-check
// How far work that takes long is, with a button that stops it. The server is
// asked only while somebody does something on the screen or something is going on.

import { part } from "../static/lib/dom.js";

/** @import { Component } from "../static/lib/dom.js" */

const EVERY_MS = 700;
const ASKED_AFTER_TOUCH = 8; // times, after somebody did something

/**
 * @typedef {object} Work
 * @property {number} number
 * @property {string} title
 * @property {number} share
 * @property {number | null} left_s
 */

/**
 * What Gradio calls when the component is on the page.
 * @param {Component} component
 */
export function mount({ element, server }) {
  const section = /** @type {HTMLElement} */ (element.querySelector("section"));
  /** @type {Work | null} */
  let shown = null;
  let left = ASKED_AFTER_TOUCH;
  let isWaiting = false;

  const ask = async () => {
    isWaiting = false;
    if (!element.isConnected) return;
    const told = section.closest("[role=tabpanel], .tabitem")?.checkVisibility() ?? true;
    if (told) {
      const answer = await server.read_progress({}).catch(() => ({}));
      shown = answer.work?.[0] ?? null;
      section.hidden = !shown;
      if (shown) {
        part(element, "words").textContent = progressWords(shown);
        /** @type {HTMLProgressElement} */ (part(element, "bar")).value = shown.share;
      }
    }
    left = shown ? ASKED_AFTER_TOUCH : left - 1;
    if (left > 0) again();
  };
  const again = () => {
    if (isWaiting) return;
    isWaiting = true;
    setTimeout(ask, EVERY_MS);
  };
  for (const event of ["pointerdown", "keydown", "drop", "change"])
    document.addEventListener(event, () => {
      if (!element.isConnected) return;
      left = ASKED_AFTER_TOUCH;
      again();
    });
  part(element, "stop").addEventListener("click", () => {
    if (shown) server.stop_work({ number: shown.number });
  });
  again();
}

/**
 * What is going on, how far it is and how long it will take.
 * @param {{ title: string, share: number, left_s: number | null }} work
 */
export function progressWords({ title, share, left_s }) {
  const done = `${title}: ${Math.floor(100 * share)} %`;
  if (left_s === null) return done;
  const seconds = Math.max(Math.round(left_s), 1);
  if (seconds < 90) return `${done}, about ${seconds} s left`;
  return `${done}, about ${Math.round(seconds / 60)} min left`;
}
