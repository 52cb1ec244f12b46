// @ts-check
// What our components do with the page's elements. Text is set as text, never as markup.

/**
 * What Gradio hands to a component's script.
 * @typedef {object} Component
 * @property {HTMLElement} element  the component's own part of the page
 * @property {{ value: string }} props
 * @property {(event: string) => void} trigger  tells Gradio of an event of our own
 * @property {(name: string, callback: () => void) => void} watch
 * @property {Record<string, (question: object) => Promise<any>>} server  functions of the server
 */

/**
 * @param {Element} element
 * @param {string} selector
 * @returns {HTMLElement}
 */
export function find(element, selector) {
  const found = /** @type {HTMLElement | null} */ (element.querySelector(selector));
  if (!found) throw new Error(`The skeleton has no ${selector}.`);
  return found;
}

/**
 * @param {Element} element
 * @param {string} name
 */
export const part = (element, name) => find(element, `[data-part=${name}]`);

/**
 * @param {Element} element
 * @param {string} name
 */
export const dialog = (element, name) => /** @type {HTMLDialogElement} */ (part(element, name));

/**
 * @param {Element} element
 * @param {string} name
 */
export const field = (element, name) =>
  /** @type {HTMLInputElement | HTMLTextAreaElement} */ (part(element, name));

/**
 * Every element of a kind, for loops.
 * @param {Element} element
 * @param {string} selector
 */
export const all = (element, selector) =>
  /** @type {HTMLElement[]} */ ([...element.querySelectorAll(selector)]);

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [text]
 * @param {string} [className]
 */
export function make(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/**
 * An element for a text of somebody else, in the direction that the text itself has.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} text
 * @param {string} [className]
 */
export function makeForText(tag, text, className = "") {
  const made = make(tag, text, className);
  made.dir = "auto";
  return made;
}

/**
 * @param {string} text
 */
export function makeButton(text) {
  const button = make("button", text);
  button.type = "button";
  return button;
}

/**
 * @param {Element} button
 * @param {boolean} pressed
 */
export const setPressed = (button, pressed) => button.setAttribute("aria-pressed", String(pressed));

/**
 * Whether a component can be seen: it stands on the page, and on the tab that is open.
 * @param {HTMLElement} element
 */
export const isShown = (element) => element.isConnected && element.offsetParent !== null;

/**
 * @param {Element} element
 * @param {number} done
 * @param {number} total
 */
export function drawProgress(element, done, total) {
  const percent = total ? Math.round((100 * done) / total) : 0;
  part(element, "bar").style.width = `${percent}%`;
  find(element, "[role=progressbar]").setAttribute("aria-valuenow", String(percent));
}

/**
 * An object that was written as JSON, or null.
 * @param {string | null} text
 */
export function readJson(text) {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}
