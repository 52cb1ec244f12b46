// @ts-check
// The keys by which two answers are judged, wherever they stand. Pure.

/** @type {Record<string, string>} */
export const PAIR_KEYS = {
  1: "a",
  2: "b",
  3: "tie",
  4: "both_bad",
  arrowleft: "a",
  arrowright: "b",
  arrowup: "tie",
  arrowdown: "both_bad",
};

/**
 * Whether a key is pressed for itself: not held down, not with others, not part of a character.
 * @param {Pick<KeyboardEvent, "ctrlKey" | "metaKey" | "altKey" | "repeat" | "isComposing">} event
 */
export const isPlain = (event) =>
  !(event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing);
