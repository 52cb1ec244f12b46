// @ts-check
// What the judging screen knows, and what each event makes of it. Pure: no page, no network, no
// clock; whoever calls brings the time along. A state is never changed, a new one is made.

import { inWords } from "./words.js";

/** @import { Event, Mark, Pair, Rating, Remarks, Side, SideRemarks } from "./types.js" */
/** @import { State, View, ViewName, Who } from "./types.js" */

export const AHEAD = 4;
const PAUSE_S = 300; // whoever takes longer for a pair was away, and is not counted
const LATEST = 15;
/** @type {Side[]} */
const SIDES = ["a", "b"];

/** @type {Record<ViewName, string>} */
const VIEWS = {
  scroll: "The two scroll together.",
  differences: "Words that only one answer has are marked.",
  markdown: "Markdown is rendered; links and pictures stay text.",
};
/** @type {Record<Mark, string>} */
const MARKS = {
  flagged: "Flagged: somebody should look at this again.",
  unblinded: "Marked as not blind: your verdict will not be counted.",
};
const HIDDEN_EXPECTED =
  "The expected answer of this pair is not shown: it would tell whose a response is.";

/** @type {Remarks} */
const NO_REMARKS = Object.freeze({
  a: Object.freeze({ stars: null, tags: [] }),
  b: Object.freeze({ stars: null, tags: [] }),
  comment: "",
  correction: "",
  flagged: false,
  unblinded: false,
});

/**
 * @param {View | null} [view]  how this person likes to see responses
 * @returns {State}
 */
export const initialState = (view) => ({
  who: null,
  queue: [],
  current: null,
  reopened: false,
  passing: null,
  busy: false,
  skipped: [],
  done: 0,
  total: 0,
  waiting: false,
  showing: 0,
  moved: false,
  seen: [],
  remarks: NO_REMARKS,
  view: { scroll: true, ...view },
  expectedOpen: false,
  detailsOpen: false,
  rubric: { name: "", text: "" },
  offered: { tags: [], stars: 0 },
  notice: { text: "", kind: "" },
  history: { listed: [], more: false },
  people: null,
  seconds: [],
  shownAt: 0,
});

/**
 * The state after an event. The same object means that the event changes nothing.
 * @param {State} state
 * @param {Event} event
 * @returns {State}
 */
export function reduce(state, event) {
  switch (event.type) {
    case "began":
      return state.busy || !state.who ? state : { ...state, busy: true };
    case "ended":
      return { ...state, busy: false };
    case "said":
      return say(state, event.text, event.kind);
    case "peopleTold":
      return event.who === state.who ? { ...state, people: event.people } : state;
    case "historyOpened":
      return { ...state, history: { listed: [], more: false } };
    case "historyListed": {
      const listed = [...state.history.listed, ...event.verdicts];
      return { ...state, history: { listed, more: event.more } };
    }
    default:
      return reducePairs(state, event) ?? reduceRating(state, event);
  }
}

/**
 * What decides which pair is on the screen.
 * @param {State} state
 * @param {Event} event
 * @returns {State | null} null where the event is none of these
 */
function reducePairs(state, event) {
  switch (event.type) {
    case "opened":
      return open(state, event.who);
    case "fetched":
      return fetched(state, event);
    case "advanced":
      return advance(state, event.now);
    case "cleared":
      return show(state, null, event.now);
    case "saved":
      return say({ ...state, done: event.done, total: event.total, current: null }, "Saved.");
    case "undone":
      return undone(state, event);
    case "reopened":
      return reopen(putBack(state, event.pair), event, "Reopened");
    case "skipped":
      return skip(state);
    case "skipFailed":
      return takeBackSkip(state);
    default:
      return null;
  }
}

/**
 * What is said of the pair, and how it is looked at.
 * @param {State} state
 * @param {Event} event
 * @returns {State}
 */
function reduceRating(state, event) {
  switch (event.type) {
    case "seen":
      return state.seen.includes(event.side)
        ? state
        : { ...state, seen: [...state.seen, event.side] };
    case "starred": {
      const stars = state.remarks[event.side].stars === event.stars ? null : event.stars;
      return remark(state, event.side, { stars });
    }
    case "tagged":
      return remark(state, event.side, { tags: toggled(state, event.side, event.tag) });
    case "marked":
      return mark(state, event.mark);
    case "written":
      return { ...state, remarks: { ...state.remarks, [event.field]: event.text } };
    case "viewed":
      return changeView(state, event.name);
    case "expectedToggled":
      if (!state.current) return state;
      if (!state.current.expected) return say(state, HIDDEN_EXPECTED);
      return { ...state, expectedOpen: !state.expectedOpen };
    case "detailsToggled":
      return { ...state, detailsOpen: !state.detailsOpen };
    default:
      throw new Error(`There is no event ${event.type}.`);
  }
}

/**
 * The ids of the pairs that are here already.
 * @param {State} state
 */
export const knownIds = ({ current, queue }) =>
  [...(current ? [current] : []), ...queue].map((pair) => pair.id);

/**
 * How many more pairs to ask for.
 * @param {State} state
 */
export const missing = ({ queue }) => Math.max(AHEAD - queue.length, 0);

/**
 * The side that must be read before a verdict: one on a response that nobody has seen is none.
 * @param {State} state
 */
export function unseenSide({ current, seen }) {
  const sides = current?.response_mode === "pairs" ? SIDES : SIDES.slice(0, 1);
  return sides.find((side) => !seen.includes(side));
}

/**
 * What is sent to the server for a verdict.
 * @param {State} state
 * @param {string} verdict
 * @param {number | null} stars  the verdict's own, where single responses get stars
 */
export function ratingToSend({ current, reopened, remarks }, verdict, stars) {
  const a = stars ? { ...remarks.a, stars } : remarks.a;
  return { ...remarks, a, pair: current?.id, changes: reopened, verdict };
}

/**
 * @param {State} state
 * @param {string} text
 * @param {"" | "error"} [kind]
 * @returns {State}
 */
const say = (state, text, kind = "") => ({ ...state, notice: { text, kind } });

/**
 * @param {State} state
 * @param {Who | null} who
 * @returns {State}
 */
const open = (state, who) => ({
  ...state,
  who,
  queue: [],
  current: null,
  passing: null,
  skipped: [],
  done: 0,
  total: 0,
  people: null,
});

/**
 * @param {State} state
 * @param {Extract<Event, { type: "fetched" }>} event
 * @returns {State}
 */
function fetched(state, { who, pairs, done, total, rubric, tags, stars }) {
  if (who !== state.who) return state; // an answer to whoever judged before
  const here = new Set(knownIds(state));
  const queue = [...state.queue, ...pairs.filter((pair) => !here.has(pair.id))];
  const offered = state.offered.tags.length ? state.offered : { tags, stars };
  return { ...state, queue, done, total, rubric, offered };
}

/**
 * Put a pair on the screen, with nothing said of it yet; null where there is none.
 * @param {State} state
 * @param {Pair | null} pair
 * @param {number} now
 * @returns {State}
 */
function show(state, pair, now) {
  const { who, current, done, total } = state;
  const spent = (now - state.shownAt) / 1000;
  const counts = state.shownAt && spent < PAUSE_S && pair;
  return {
    ...state,
    current: pair,
    reopened: false,
    passing: null,
    waiting: Boolean(who) && !pair && !who?.adjudicates && done < total,
    showing: state.showing + 1,
    moved: Boolean(pair) && pair?.id !== current?.id,
    seen: [],
    remarks: NO_REMARKS,
    expectedOpen: false,
    seconds: counts ? [...state.seconds, spent].slice(-LATEST) : state.seconds,
    shownAt: now,
  };
}

/**
 * @param {State} state
 * @param {number} now
 * @returns {State}
 */
function advance(state, now) {
  const [next = null, ...queue] = state.queue;
  const { passing } = state;
  if (passing && !next && !passing.reopened)
    return say(show(state, passing.pair, now), "This is the last one left.");
  const shown = show({ ...state, queue }, next, now);
  return passing && next ? say(shown, "Skipped; it comes back at the end.") : shown;
}

/**
 * @param {State} state
 * @returns {State}
 */
function skip(state) {
  const { current, reopened, skipped } = state;
  if (!current) return state;
  const passed = reopened || skipped.includes(current.id) ? skipped : [...skipped, current.id];
  return { ...state, current: null, passing: { pair: current, reopened }, skipped: passed };
}

/**
 * The next pair did not come: the one on the screen is judged, or skipped once more.
 * @param {State} state
 * @returns {State}
 */
function takeBackSkip(state) {
  const { passing, skipped } = state;
  if (!passing) return state;
  const rest = passing.reopened ? skipped : skipped.filter((id) => id !== passing.pair.id);
  return { ...state, current: passing.pair, passing: null, skipped: rest };
}

/**
 * What is on the screen waits its turn, unless it was judged before or is the pair that comes now.
 * @param {State} state
 * @param {Pair} coming
 * @returns {State}
 */
function putBack(state, coming) {
  const { current, reopened } = state;
  const queue = current && !reopened ? [current, ...state.queue] : state.queue;
  return { ...state, queue: queue.filter((pair) => pair.id !== coming.id) };
}

/**
 * @param {State} state
 * @param {Extract<Event, { type: "undone" }>} event
 * @returns {State}
 */
function undone(state, { pair, rating, done, now }) {
  const back = { ...putBack(state, pair), done };
  if (rating) return reopen(back, { pair, rating, now }, "The change is taken back");
  return say(show(back, pair, now), "The last verdict is taken back.");
}

/**
 * Show a pair with what was said of it.
 * @param {State} state
 * @param {{ pair: Pair, rating: Rating, now: number }} given
 * @param {string} words
 * @returns {State}
 */
function reopen(state, { pair, rating, now }, words) {
  const { a, b, comment, correction, flagged, unblinded } = rating;
  const verdict = inWords(rating.verdict, a.stars);
  const known = (/** @type {SideRemarks} */ side) => ({
    stars: side.stars ?? null,
    tags: state.offered.tags.filter((tag) => side.tags.includes(tag)),
  });
  const remarks = { a: known(a), b: known(b), comment, correction, flagged, unblinded };
  return say(
    { ...show(state, pair, now), reopened: true, remarks },
    `${words}. Your verdict is: ${verdict}. The next one replaces it.`,
  );
}

/**
 * @param {State} state
 * @param {Side} side
 * @param {Partial<SideRemarks>} said
 * @returns {State}
 */
const remark = (state, side, said) => ({
  ...state,
  remarks: { ...state.remarks, [side]: { ...state.remarks[side], ...said } },
});

/**
 * A side's tags with one more or one fewer, in the order in which they are offered.
 * @param {State} state
 * @param {Side} side
 * @param {string} tag
 */
function toggled({ offered, remarks }, side, tag) {
  const { tags } = remarks[side];
  return offered.tags.filter((name) => tags.includes(name) !== (name === tag));
}

/**
 * @param {State} state
 * @param {Mark} name
 * @returns {State}
 */
function mark(state, name) {
  if (!state.current) return state;
  const marked = { ...state, remarks: { ...state.remarks, [name]: !state.remarks[name] } };
  return say(marked, marked.remarks[name] ? MARKS[name] : "Taken off.");
}

/**
 * @param {State} state
 * @param {ViewName} name
 * @returns {State}
 */
function changeView(state, name) {
  const single = state.current && state.current.response_mode !== "pairs";
  if (single && name !== "markdown") return state; // one response has nothing to differ from
  const view = { ...state.view, [name]: !state.view[name] };
  if (view[name] && name === "differences") view.markdown = false;
  if (view[name] && name === "markdown") view.differences = false;
  return say({ ...state, view }, view[name] ? VIEWS[name] : "Switched off.");
}
