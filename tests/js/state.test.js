import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  AHEAD,
  initialState,
  knownIds,
  missing,
  ratingToSend,
  reduce,
  unseenSide,
} from "../../ui/review/judge/state.js";

const WHO = { review: "r", reviewer: "Amina" };
const RUBRIC = { name: "True first", text: "Prefer what is true." };

const pair = (id, more = {}) => ({
  id,
  response_mode: "pairs",
  prompt: `prompt ${id}`,
  expected: `expected ${id}`,
  a: "one",
  b: "two",
  named: { a: "", b: "" },
  rendered: { a: "", b: "" },
  ...more,
});
const pairs = (...ids) => ids.map((id) => pair(id));
const fetched = (found, more = {}) => ({
  type: "fetched",
  who: WHO,
  pairs: found,
  done: 0,
  total: 9,
  rubric: RUBRIC,
  tags: ["wrong fact", "repeats"],
  stars: 5,
  ...more,
});
const rating = (more = {}) => ({
  verdict: "a",
  a: { stars: 4, tags: ["repeats"] },
  b: { stars: null, tags: [] },
  comment: "why",
  correction: "better",
  flagged: true,
  unblinded: false,
  ...more,
});
const advanced = { type: "advanced", now: 0 };

function freeze(value) {
  if (value && typeof value === "object" && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(freeze);
  }
  return value;
}
/** The state after events; each is frozen, so a reducer that changes one fails. */
const after = (state, ...events) =>
  events.reduce((before, event) => freeze(reduce(before, event)), freeze(state));
const opened = (view) => after(initialState(view), { type: "opened", who: WHO });
/** Pair 1 on the screen, 2 and 3 waiting. */
const judging = (...events) => after(opened(), fetched(pairs(1, 2, 3)), advanced, ...events);

describe("opening", () => {
  test("begins anew, but keeps how responses are looked at and how long pairs took", () => {
    const before = judging({ type: "viewed", name: "markdown" }, { type: "skipped" });
    const state = after({ ...before, seconds: [7] }, { type: "opened", who: { ...WHO } });
    assert.deepEqual(
      [state.queue, state.current, state.skipped, state.passing],
      [[], null, [], null],
    );
    assert.deepEqual([state.done, state.total, state.people], [0, 0, null]);
    assert.equal(state.view.markdown, true);
    assert.deepEqual(state.seconds, [7]);
  });

  test("the two scroll together unless the browser remembers otherwise", () => {
    assert.equal(initialState(null).view.scroll, true);
    assert.deepEqual(initialState({ scroll: false }).view, { scroll: false });
  });

  test("an answer to whoever judged before changes nothing", () => {
    const state = opened();
    assert.equal(reduce(state, fetched(pairs(1), { who: { ...WHO } })), state);
    const people = { people: [], pairs: 1, ratings: 0, response_mode: "pairs" };
    assert.equal(reduce(state, { type: "peopleTold", who: null, people }), state);
    assert.equal(after(state, { type: "peopleTold", who: WHO, people }).people, people);
  });
});

describe("fetching ahead", () => {
  test("asks for as many as are missing", () => {
    assert.equal(missing(opened()), AHEAD);
    assert.equal(missing(judging()), AHEAD - 2);
    const full = after(opened(), fetched(pairs(1, 2, 3, 4, 5)));
    assert.equal(missing(full), 0);
  });

  test("names the pair on the screen and those that wait", () => {
    assert.deepEqual(knownIds(judging()), [1, 2, 3]);
    assert.deepEqual(knownIds(opened()), []);
  });

  test("no pair comes twice, and the first tags stay", () => {
    const state = judging(fetched(pairs(1, 2, 4), { done: 3, total: 8, tags: ["other"] }));
    assert.deepEqual(knownIds(state), [1, 2, 3, 4]);
    assert.deepEqual([state.done, state.total, state.rubric], [3, 8, RUBRIC]);
    assert.deepEqual(state.offered, { tags: ["wrong fact", "repeats"], stars: 5 });
  });

  test("leaves the screen and what is being said of its pair alone", () => {
    const before = judging({ type: "starred", side: "a", stars: 2 });
    const state = after(before, fetched(pairs(4)));
    assert.equal(state.showing, before.showing);
    assert.equal(state.remarks, before.remarks);
  });
});

describe("moving on", () => {
  test("shows the next pair with nothing said of it", () => {
    const state = judging(
      { type: "starred", side: "a", stars: 2 },
      { type: "tagged", side: "b", tag: "repeats" },
      { type: "marked", mark: "flagged" },
      { type: "written", field: "comment", text: "x" },
      { type: "seen", side: "a" },
      { type: "expectedToggled" },
      { type: "saved", done: 1, total: 9 },
      advanced,
    );
    assert.equal(state.current.id, 2);
    assert.deepEqual(state.remarks, initialState().remarks);
    assert.deepEqual(state.seen, []);
    assert.equal(state.expectedOpen, false);
    assert.equal(state.moved, true);
    assert.equal(state.notice.text, "Saved.");
  });

  test("details stay open from pair to pair", () => {
    const state = judging(
      { type: "detailsToggled" },
      { type: "saved", done: 1, total: 9 },
      advanced,
    );
    assert.equal(state.detailsOpen, true);
    assert.equal(after(state, { type: "detailsToggled" }).detailsOpen, false);
  });

  test("a saved verdict counts at once, and the screen changes only with the next pair", () => {
    const before = judging();
    const state = after(before, { type: "saved", done: 5, total: 9 });
    assert.deepEqual([state.done, state.total, state.current], [5, 9, null]);
    assert.equal(state.showing, before.showing);
  });

  test("at the end nothing is shown; it waits where others hold the rest", () => {
    const end = { type: "advanced", now: 5 };
    assert.deepEqual(after(opened(), fetched([], { done: 9 }), end).waiting, false);
    const state = after(opened(), fetched([], { done: 7 }), end);
    assert.deepEqual([state.current, state.waiting, state.moved], [null, true, false]);
    assert.equal(after(state, fetched(pairs(3)), advanced).waiting, false);
    const settling = { ...opened(), who: { ...WHO, adjudicates: true }, total: 3 };
    assert.equal(after(settling, end).waiting, false);
    assert.equal(after(initialState(), { type: "cleared", now: 0 }).waiting, false);
  });

  test("a screen that is cleared counts as a showing without a pair", () => {
    const state = judging({ type: "cleared", now: 1 });
    assert.equal(state.current, null);
    assert.equal(state.showing, 2);
  });

  test("the seconds of a pair are counted, of breaks and of the end not", () => {
    const at = (state, s) => after(state, fetched(pairs(s)), { type: "advanced", now: s * 1000 });
    let state = after(opened(), fetched(pairs(0)), { type: "advanced", now: 1000 });
    assert.deepEqual(state.seconds, []);
    state = at(at(state, 8), 400);
    assert.deepEqual(state.seconds, [7]);
    assert.deepEqual(after(state, { type: "cleared", now: 401_000 }).seconds, [7]);
    for (let s = 401; s < 430; s++) state = at(state, s);
    assert.deepEqual(state.seconds, Array(15).fill(1));
  });
});

describe("a double press", () => {
  test("is not heard while something is on its way", () => {
    const busy = judging({ type: "began" });
    assert.equal(busy.busy, true);
    assert.equal(reduce(busy, { type: "began" }), busy);
    const free = after(busy, { type: "ended" });
    assert.notEqual(reduce(free, { type: "began" }), free);
  });

  test("nothing begins before it is known who judges", () => {
    const state = initialState();
    assert.equal(reduce(state, { type: "began" }), state);
  });
});

describe("skipping", () => {
  test("takes the next pair and comes back at the end", () => {
    const skipping = judging({ type: "skipped" });
    assert.deepEqual([skipping.current, skipping.skipped], [null, [1]]);
    const state = after(skipping, advanced);
    assert.equal(state.current.id, 2);
    assert.equal(state.passing, null);
    assert.equal(state.notice.text, "Skipped; it comes back at the end.");
  });

  test("the last one that is left stays", () => {
    let state = judging();
    for (let turn = 0; turn < 3; turn++) state = after(state, { type: "skipped" }, advanced);
    assert.equal(state.current.id, 3);
    assert.deepEqual(state.skipped, [1, 2, 3]);
    assert.equal(state.notice.text, "This is the last one left.");
    assert.equal(state.moved, true);
    state = after(state, { type: "skipped" }, fetched(pairs(1)), advanced);
    assert.deepEqual([state.current.id, state.skipped], [1, [1, 2, 3]]);
  });

  test("a reopened pair is no skipped one, and leaves nothing behind", () => {
    const again = { type: "reopened", pair: pair(9), rating: rating(), now: 0 };
    const state = judging(again, { type: "skipped" }, advanced);
    assert.deepEqual([state.current.id, state.skipped], [1, []]);
    const alone = after({ ...judging(), queue: [], current: null }, again, { type: "skipped" });
    const end = after(alone, advanced);
    assert.equal(end.current, null);
    assert.match(end.notice.text, /^Reopened/);
  });

  test("is taken back where the next pair did not come", () => {
    const before = judging({ type: "starred", side: "b", stars: 3 });
    const state = after(before, { type: "skipped" }, { type: "skipFailed" });
    assert.equal(state.current, before.current);
    assert.equal(state.remarks, before.remarks);
    assert.deepEqual([state.skipped, state.passing], [[], null]);
    assert.equal(reduce(state, { type: "skipFailed" }), state);
  });

  test("there is nothing to skip without a pair", () => {
    const state = opened();
    assert.equal(reduce(state, { type: "skipped" }), state);
  });
});

describe("undoing", () => {
  const undone = (id, more = {}) => ({
    type: "undone",
    pair: pair(id),
    rating: null,
    done: 0,
    now: 0,
    ...more,
  });

  test("brings the pair back, and what was on the screen waits its turn", () => {
    const state = judging({ type: "saved", done: 1, total: 9 }, advanced, undone(1));
    assert.deepEqual([state.current.id, state.queue.map((one) => one.id)], [1, [2, 3]]);
    assert.deepEqual([state.done, state.reopened], [0, false]);
    assert.equal(state.notice.text, "The last verdict is taken back.");
  });

  test("after a skip undoes the verdict before it; the skipped pair stays skipped", () => {
    const state = judging(
      { type: "saved", done: 1, total: 9 },
      advanced,
      { type: "skipped" },
      advanced,
      undone(1),
    );
    assert.deepEqual([state.current.id, state.queue.map((one) => one.id)], [1, [3]]);
    assert.deepEqual(state.skipped, [2]);
  });

  test("of a pair that waits does not show it twice", () => {
    const state = judging(undone(3));
    assert.deepEqual([state.current.id, state.queue.map((one) => one.id)], [3, [1, 2]]);
  });

  test("of a change shows the verdict that stands again", () => {
    const state = judging(undone(7, { rating: rating({ verdict: "tie" }), done: 4 }));
    assert.deepEqual([state.reopened, state.done], [true, 4]);
    assert.equal(
      state.notice.text,
      "The change is taken back. Your verdict is: Tie. The next one replaces it.",
    );
    assert.equal(state.remarks.comment, "why");
  });

  test("at the end brings back the last", () => {
    const state = after(opened(), fetched([], { done: 9 }), advanced, undone(5, { done: 8 }));
    assert.deepEqual([state.current.id, state.queue, state.done], [5, [], 8]);
  });
});

describe("a second look", () => {
  const reopened = (id, more) => ({
    type: "reopened",
    pair: pair(id),
    rating: rating(more),
    now: 0,
  });

  test("shows what was said, as far as it can still be said", () => {
    const state = judging(reopened(9, { a: { stars: 4, tags: ["gone", "repeats"] } }));
    assert.deepEqual(state.remarks, {
      a: { stars: 4, tags: ["repeats"] },
      b: { stars: null, tags: [] },
      comment: "why",
      correction: "better",
      flagged: true,
      unblinded: false,
    });
    assert.equal(ratingToSend(state, "b", null).changes, true);
    assert.equal(
      state.notice.text,
      "Reopened. Your verdict is: A better. The next one replaces it.",
    );
  });

  test("comes before what was on the screen, and a further look does not queue it", () => {
    const first = judging(reopened(8));
    assert.deepEqual(
      first.queue.map((one) => one.id),
      [1, 2, 3],
    );
    const second = after(first, reopened(9));
    assert.deepEqual([second.current.id, second.queue.map((one) => one.id)], [9, [1, 2, 3]]);
    const back = after(second, { type: "saved", done: 2, total: 9 }, advanced);
    assert.deepEqual([back.current.id, back.reopened], [1, false]);
  });

  test("of the pair on the screen keeps the page where it is", () => {
    assert.equal(judging(reopened(1)).moved, false);
    assert.equal(judging(reopened(2)).moved, true);
  });
});

describe("what is said of a pair", () => {
  test("the same star once more takes it off", () => {
    const starred = (stars) => ({ type: "starred", side: "a", stars });
    assert.equal(judging(starred(3)).remarks.a.stars, 3);
    assert.equal(judging(starred(3), starred(5)).remarks.a.stars, 5);
    assert.equal(judging(starred(3), starred(3)).remarks.a.stars, null);
    assert.equal(judging(starred(3)).remarks.b.stars, null);
  });

  test("tags come and go, in the order in which they are offered", () => {
    const tagged = (tag) => ({ type: "tagged", side: "b", tag });
    const both = judging(tagged("repeats"), tagged("wrong fact"));
    assert.deepEqual(both.remarks.b.tags, ["wrong fact", "repeats"]);
    assert.deepEqual(after(both, tagged("repeats")).remarks.b.tags, ["wrong fact"]);
    assert.deepEqual(judging(tagged("not offered")).remarks.b.tags, []);
  });

  test("marks are told, and need a pair", () => {
    const flag = { type: "marked", mark: "flagged" };
    const state = judging(flag);
    assert.equal(state.remarks.flagged, true);
    assert.match(state.notice.text, /^Flagged/);
    assert.equal(after(state, flag).notice.text, "Taken off.");
    assert.match(judging({ type: "marked", mark: "unblinded" }).notice.text, /not be counted/);
    const none = opened();
    assert.equal(reduce(none, flag), none);
  });

  test("goes along with the verdict", () => {
    const state = judging(
      { type: "starred", side: "a", stars: 2 },
      { type: "tagged", side: "b", tag: "repeats" },
      { type: "written", field: "comment", text: "c" },
      { type: "written", field: "correction", text: "d" },
      { type: "marked", mark: "unblinded" },
    );
    const sent = {
      pair: 1,
      changes: false,
      verdict: "tie",
      a: { stars: 2, tags: [] },
      b: { stars: null, tags: ["repeats"] },
      comment: "c",
      correction: "d",
      flagged: false,
      unblinded: true,
    };
    assert.deepEqual(ratingToSend(state, "tie", null), sent);
    assert.equal(ratingToSend(state, "stars", 5).a.stars, 5);
  });
});

describe("reading before judging", () => {
  test("both responses must have been seen", () => {
    const [a, b] = ["a", "b"].map((side) => ({ type: "seen", side }));
    assert.equal(unseenSide(judging()), "a");
    assert.equal(unseenSide(judging(a)), "b");
    assert.equal(unseenSide(judging(a, b)), undefined);
    const seen = judging(a);
    assert.equal(reduce(seen, a), seen);
    assert.equal(unseenSide(judging(a, b, { type: "saved", done: 1, total: 9 }, advanced)), "a");
  });

  test("a single response must have been seen", () => {
    const single = after(opened(), fetched([pair(1, { response_mode: "stars" })]), advanced);
    assert.equal(unseenSide(single), "a");
    assert.equal(unseenSide(after(single, { type: "seen", side: "a" })), undefined);
  });
});

describe("how it is looked at", () => {
  const viewed = (name) => ({ type: "viewed", name });

  test("differences and Markdown exclude each other", () => {
    const state = judging(viewed("differences"), viewed("markdown"));
    assert.deepEqual(state.view, { scroll: true, differences: false, markdown: true });
    assert.deepEqual(after(state, viewed("differences")).view, {
      scroll: true,
      differences: true,
      markdown: false,
    });
    assert.equal(after(state, viewed("markdown")).notice.text, "Switched off.");
    assert.match(state.notice.text, /^Markdown is rendered/);
    assert.equal(after(state, viewed("scroll")).view.scroll, false);
  });

  test("a single response has nothing to differ from", () => {
    const single = after(opened(), fetched([pair(1, { response_mode: "pass" })]), advanced);
    for (const name of ["scroll", "differences"])
      assert.equal(reduce(single, viewed(name)), single);
    assert.equal(after(single, viewed("markdown")).view.markdown, true);
  });

  test("the expected answer is shown unless it would tell whose a response is", () => {
    const toggled = { type: "expectedToggled" };
    assert.equal(judging(toggled).expectedOpen, true);
    assert.equal(judging(toggled, toggled).expectedOpen, false);
    const hidden = after(opened(), fetched([pair(1, { expected: "" })]), advanced, toggled);
    assert.equal(hidden.expectedOpen, false);
    assert.match(hidden.notice.text, /not shown/);
    const none = opened();
    assert.equal(reduce(none, toggled), none);
  });
});

describe("the history", () => {
  test("grows page by page and begins anew when it is opened", () => {
    const listed = (id, more) => ({ type: "historyListed", verdicts: [{ pair: id }], more });
    const state = judging({ type: "historyOpened" }, listed(4, true), listed(3, false));
    assert.deepEqual(state.history, { listed: [{ pair: 4 }, { pair: 3 }], more: false });
    assert.deepEqual(after(state, { type: "historyOpened" }).history.listed, []);
  });
});

test("what is said replaces what was said, and an error is marked", () => {
  const state = judging({ type: "said", text: "No.", kind: "error" });
  assert.deepEqual(state.notice, { text: "No.", kind: "error" });
  assert.deepEqual(after(state, { type: "said", text: "" }).notice, { text: "", kind: "" });
});

test("an event that nobody knows is a mistake of ours", () => {
  assert.throws(() => reduce(judging(), { type: "jumped" }), /no event jumped/);
});
