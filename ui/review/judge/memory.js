// @ts-check
// What the browser keeps of the judging screen. A store that is full or closed is done without.

import { readJson } from "../../static/lib/dom.js";

// A page that loads anew (Gradio does so by itself when the app is back) goes on where it stood:
// whose pairs these are, and a verdict that was on its way.
/** @param {string} name */
export const kept = (name) => read(() => sessionStorage, name);

/**
 * @param {string} name
 * @param {unknown} value
 */
export const keep = (name, value) => write(() => sessionStorage, name, value);

// What outlives the window: how this person likes to see answers.
/** @param {string} name */
export const remembered = (name) => read(() => localStorage, name);

/**
 * @param {string} name
 * @param {unknown} value
 */
export const remember = (name, value) => write(() => localStorage, name, value);

/**
 * @param {() => Storage} store  a function, for a closed store throws when it is named
 * @param {string} name
 */
function read(store, name) {
  try {
    return readJson(store().getItem(`fuata.${name}`));
  } catch {
    return null;
  }
}

/**
 * @param {() => Storage} store
 * @param {string} name
 * @param {unknown} value
 */
function write(store, name, value) {
  try {
    store().setItem(`fuata.${name}`, JSON.stringify(value));
  } catch {
    // nothing is kept
  }
}
