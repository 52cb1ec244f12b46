// @ts-check
// What the judging screen says in sentences. Pure.

import { visible } from "../../static/lib/visible_text.js";

/** @import { Listed, Pair, People, Side, State } from "./types.js" */

const ENOUGH = 3; // pairs, before it is said how long the rest will take
const ELSEWHERE =
  "The other pairs are on other people's screens just now. " + "This page looks again by itself.";
/** @type {Record<string, string>} */
const VERDICTS = {
  a: "A better",
  b: "B better",
  tie: "Tie",
  both_bad: "Both bad",
  pass: "Pass",
  fail: "Fail",
};

/**
 * A verdict in words.
 * @param {string} verdict
 * @param {number | null} stars
 */
export const inWords = (verdict, stars) =>
  VERDICTS[verdict] ?? `${stars} ${stars === 1 ? "star" : "stars"}`;

/**
 * A verdict as a line of the history.
 * @param {Listed} given
 */
export function listedWords({ verdict, stars, flagged, unblinded, comment, prompt }) {
  const marks = [
    inWords(verdict, stars),
    flagged && "flagged",
    unblinded && "not counted",
    comment && "comment",
  ];
  return `${marks.filter(Boolean).join(", ")}: ${visible(prompt)}`;
}

/** @param {State} state */
export function endWords({ waiting, who, total }) {
  if (waiting) return ELSEWHERE;
  if (who?.adjudicates) return "There is no disagreement left that you could settle.";
  return `All ${total} are judged.`;
}

/** @param {State} state */
export const whoWords = ({ who }) =>
  who ? `${who.reviewer} ${who.adjudicates ? "settles" : "judges"} ${who.review}` : "";

/** @param {State} state */
export const progressWords = ({ done, total }) => (total ? `${done} of ${total} judged` : "");

/**
 * The median of the latest pairs' seconds, times what is left.
 * @param {State} state
 */
export function timeLeft({ seconds, done, total }) {
  if (seconds.length < ENOUGH || done >= total) return "";
  const sorted = [...seconds].sort((one, other) => one - other);
  const minutes = Math.ceil((sorted[Math.floor(sorted.length / 2)] * (total - done)) / 60);
  return minutes < 60 ? `about ${minutes} min left` : `about ${Math.ceil(minutes / 60)} h left`;
}

/**
 * A warning of responses that name a model; "" where none does.
 * @param {Pair} pair
 */
export function leakWords({ named }) {
  const sides = /** @type {Side[]} */ (["a", "b"]).filter((side) => named[side]);
  const said = sides.map(
    (side) => `${side.toUpperCase()} names a model (“${visible(named[side])}”). `,
  );
  if (!said.length) return "";
  return `${said.join("")}Judge the answer; if you know now which is which, press K.`;
}

/**
 * How far everybody is; how they judged stays hidden.
 * @param {People | null} told
 */
export function peopleWords(told) {
  if (!told?.people.length) return "";
  const each = told.people.map((person) => `${visible(person.name)} ${person.judged}`);
  const ratings = `${told.ratings} ${told.ratings === 1 ? "rating" : "ratings"}`;
  const what = told.response_mode === "pairs" ? "pairs" : "responses";
  return `${each.join(", ")}: ${ratings} of ${told.pairs} ${what}`;
}
