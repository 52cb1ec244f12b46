import assert from "node:assert/strict";
import { test } from "node:test";

import { initialState } from "../../ui/review/judge/state.js";
import {
  endWords,
  inWords,
  leakWords,
  listedWords,
  peopleWords,
  progressWords,
  timeLeft,
  whoWords,
} from "../../ui/review/judge/words.js";

const state = (more) => ({ ...initialState(), ...more });
const WHO = { review: "r", reviewer: "Amina" };

test("verdicts have words, and stars their number", () => {
  assert.equal(inWords("both_bad", null), "Both bad");
  assert.equal(inWords("stars", 1), "1 star");
  assert.equal(inWords("stars", 4), "4 stars");
});

test("a line of the history names what goes with the verdict, invisible characters by code", () => {
  const given = { verdict: "a", stars: null, flagged: true, unblinded: true, comment: true };
  assert.equal(
    listedWords({ ...given, prompt: "Say\u202e it" }),
    "A better, flagged, not counted, comment: Say\\u202e it",
  );
  const plain = { verdict: "stars", stars: 2, flagged: false, unblinded: false, comment: false };
  assert.equal(listedWords({ ...plain, prompt: "x" }), "2 stars: x");
});

test("the end is told by why nothing is left", () => {
  assert.match(endWords(state({ who: WHO, waiting: true, total: 4 })), /other people's screens/);
  assert.match(endWords(state({ who: { ...WHO, adjudicates: true } })), /no disagreement/);
  assert.equal(endWords(state({ who: WHO, total: 4 })), "All 4 are judged.");
});

test("who judges, and how far they are", () => {
  assert.equal(whoWords(state({})), "");
  assert.equal(whoWords(state({ who: WHO })), "Amina judges r");
  assert.equal(whoWords(state({ who: { ...WHO, adjudicates: true } })), "Amina settles r");
  assert.equal(progressWords(state({ done: 2, total: 5 })), "2 of 5 judged");
  assert.equal(progressWords(state({ done: 0, total: 0 })), "");
});

test("the time left is the median's, once enough pairs were judged", () => {
  const left = (seconds, done = 0, total = 10) => timeLeft(state({ seconds, done, total }));
  assert.equal(left([9, 9]), "");
  assert.equal(left([30, 290, 10]), "about 5 min left");
  assert.equal(left([100, 3, 9, 100, 100], 0, 100), "about 3 h left");
  assert.equal(left([9, 9, 9], 10), "");
});

test("a response that names a model is told of", () => {
  assert.equal(leakWords({ named: { a: "", b: "" } }), "");
  const words = leakWords({ named: { a: "", b: "Chat\u200bGPT" } });
  assert.match(words, /^B names a model \(“Chat\\u200bGPT”\)\. Judge the answer/);
  assert.match(leakWords({ named: { a: "x", b: "y" } }), /^A names .* B names /);
});

test("how far everybody is", () => {
  const told = {
    people: [{ name: "Juma", judged: 1 }],
    ratings: 1,
    pairs: 3,
    response_mode: "pairs",
  };
  assert.equal(peopleWords(told), "Juma 1: 1 rating of 3 pairs");
  assert.equal(
    peopleWords({ ...told, ratings: 2, response_mode: "pass" }),
    "Juma 1: 2 ratings of 3 responses",
  );
  assert.equal(peopleWords({ ...told, people: [] }), "");
  assert.equal(peopleWords(null), "");
});
