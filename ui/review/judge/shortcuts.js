// @ts-check
// What a key or a button of the judging screen asks for. Pure.

import { PAIR_KEYS } from "../../static/lib/verdict_keys.js";

/** @import { Mark, ViewName } from "./types.js" */

/**
 * @typedef {{ act: "vote", verdict: string, stars: number | null }
 *   | { act: "view", name: ViewName }
 *   | { act: "mark", name: Mark }
 *   | { act: "undo" | "skip" | "expected" | "details" | "rubric" | "history" | "help" | "results" }
 *   } Intent
 */

// What the keys of verdicts mean depends on what is judged.
/** @type {Record<string, Record<string, string | number>>} */
const VERDICTS = {
  pairs: PAIR_KEYS,
  pass: { 1: "pass", 2: "fail", arrowup: "pass", arrowdown: "fail" },
  stars: { 1: 1, 2: 2, 3: 3, 4: 4, 5: 5 },
};
/** @type {Record<string, Intent>} */
const KEYS = {
  l: { act: "view", name: "scroll" },
  d: { act: "view", name: "differences" },
  m: { act: "view", name: "markdown" },
  f: { act: "mark", name: "flagged" },
  k: { act: "mark", name: "unblinded" },
  r: { act: "rubric" },
  u: { act: "undo" },
  s: { act: "skip" },
  e: { act: "expected" },
  c: { act: "details" },
  h: { act: "history" },
  "?": { act: "help" },
};
/** @type {Record<string, Intent>} */
const ACTIONS = {
  undo: { act: "undo" },
  skip: { act: "skip" },
  expected: { act: "expected" },
  comment: { act: "details" },
  history: { act: "history" },
  help: { act: "help" },
  results: { act: "results" },
};

/**
 * @param {string} pressed
 * @param {string} [mode]  what is judged
 * @returns {Intent | null}
 */
export function intentOfKey(pressed, mode = "pairs") {
  const key = pressed.toLowerCase();
  const verdict = VERDICTS[mode]?.[key];
  if (typeof verdict === "number") return { act: "vote", verdict: "stars", stars: verdict };
  if (verdict) return { act: "vote", verdict, stars: null };
  return KEYS[key] ?? null;
}

/**
 * @param {DOMStringMap} button  what the button says of itself in its data attributes
 * @returns {Intent | null}
 */
export function intentOfButton({ verdict, stars, view, mark, action }) {
  if (verdict) return { act: "vote", verdict, stars: Number(stars) || null };
  if (view) return { act: "view", name: /** @type {ViewName} */ (view) };
  if (mark) return { act: "mark", name: /** @type {Mark} */ (mark) };
  return (action && ACTIONS[action]) || null;
}
