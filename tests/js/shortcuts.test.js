import assert from "node:assert/strict";
import { test } from "node:test";

import { intentOfButton, intentOfKey } from "../../ui/review/judge/shortcuts.js";
import { isPlain } from "../../ui/static/lib/verdict_keys.js";

const vote = (verdict, stars = null) => ({ act: "vote", verdict, stars });

test("the keys of verdicts mean what is judged", () => {
  const meant = {
    pairs: { 1: "a", 2: "b", 3: "tie", 4: "both_bad", ArrowLeft: "a", ArrowDown: "both_bad" },
    pass: { 1: "pass", 2: "fail", ArrowUp: "pass", ArrowDown: "fail" },
  };
  for (const [mode, keys] of Object.entries(meant))
    for (const [key, verdict] of Object.entries(keys))
      assert.deepEqual(intentOfKey(key, mode), vote(verdict), `${mode} ${key}`);
  for (const number of [1, 2, 3, 4, 5])
    assert.deepEqual(intentOfKey(String(number), "stars"), vote("stars", number));
});

test("keys of another kind of review mean nothing", () => {
  assert.equal(intentOfKey("3", "pass"), null);
  assert.equal(intentOfKey("ArrowLeft", "stars"), null);
  assert.equal(intentOfKey("5", "pairs"), null);
  assert.equal(intentOfKey("6", "stars"), null);
  assert.deepEqual(intentOfKey("2", undefined), vote("b"));
});

test("letters act in either case, and others do nothing", () => {
  const acts = {
    u: "undo",
    S: "skip",
    e: "expected",
    C: "details",
    r: "rubric",
    H: "history",
    "?": "help",
  };
  for (const [key, act] of Object.entries(acts)) assert.deepEqual(intentOfKey(key), { act });
  assert.deepEqual(intentOfKey("K"), { act: "mark", name: "unblinded" });
  assert.deepEqual(intentOfKey("f"), { act: "mark", name: "flagged" });
  assert.deepEqual(intentOfKey("l"), { act: "view", name: "scroll" });
  assert.deepEqual(intentOfKey("d"), { act: "view", name: "differences" });
  assert.deepEqual(intentOfKey("m"), { act: "view", name: "markdown" });
  for (const key of ["z", "Enter", " ", "Escape", "0"]) assert.equal(intentOfKey(key), null);
});

test("a key counts when it is pressed for itself", () => {
  const plain = {
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    repeat: false,
    isComposing: false,
  };
  assert.equal(isPlain(plain), true);
  for (const name of Object.keys(plain)) assert.equal(isPlain({ ...plain, [name]: true }), false);
});

test("buttons say the same as keys", () => {
  assert.deepEqual(intentOfButton({ verdict: "both_bad" }), vote("both_bad"));
  assert.deepEqual(intentOfButton({ verdict: "stars", stars: "4" }), vote("stars", 4));
  assert.deepEqual(intentOfButton({ view: "markdown" }), intentOfKey("m"));
  assert.deepEqual(intentOfButton({ mark: "flagged" }), intentOfKey("f"));
  for (const [action, key] of Object.entries({ undo: "u", skip: "s", comment: "c", help: "?" }))
    assert.deepEqual(intentOfButton({ action }), intentOfKey(key));
  assert.deepEqual(intentOfButton({ action: "results" }), { act: "results" });
  assert.equal(intentOfButton({ more: "a" }), null);
  assert.equal(intentOfButton({ action: "nothing" }), null);
});
