import assert from "node:assert/strict";
import { test } from "node:test";

import { pairsBehind } from "../../ui/results/charts.js";
import { readJson } from "../../ui/static/lib/dom.js";
import { drawingKey, isEmpty, shownActions, stateWord } from "../../ui/train/run_state.js";

const run = (more = {}) => ({
  name: "first",
  state: "finished",
  paused: false,
  at_rest: true,
  points: 3,
  place: 0,
  can_stop: false,
  can_resume: false,
  can_extend: true,
  has_model: true,
  is_exporting: false,
  compared_points: [3],
  answers: [{ answers: [{}, {}] }],
  ...more,
});
const shown = (more) =>
  Object.entries(shownActions(run(more)))
    .filter(([, wanted]) => wanted)
    .map(([name]) => name);

test("a run has the buttons that its state allows", () => {
  assert.deepEqual(shown(), ["reuse", "report", "discard", "rename", "extend", "export"]);
  const training = { state: "training", at_rest: false, can_stop: true, can_extend: false };
  assert.deepEqual(shown(training), ["reuse", "report", "pause", "stop"]);
  const queued = { state: "waiting", at_rest: false, points: 0, place: 2, can_extend: false };
  assert.deepEqual(shown(queued), ["reuse", "sooner"]);
  assert.equal(shown({ is_exporting: true }).includes("export"), false);
  assert.equal(shown({ is_exporting: true }).includes("stop_export"), true);
});

test("a paused run is called so", () => {
  assert.equal(stateWord({ state: "training", paused: true }), "paused");
  assert.equal(stateWord({ state: "training", paused: false }), "training");
});

test("what is drawn is drawn anew when it shows something else, and not for words alone", () => {
  const key = drawingKey(run(), { axis: "steps" });
  assert.equal(drawingKey(run({ progress: "other words" }), { axis: "steps" }), key);
  for (const [changed, axis] of [
    [{ points: 4 }, "steps"],
    [{ compared_points: [3, 9] }, "steps"],
    [{ answers: [{ answers: [{}] }] }, "steps"],
    [{ state: "training" }, "steps"],
    [{}, "tokens"],
  ])
    assert.notEqual(drawingKey(run(changed), { axis }), key);
});

test("a figure without a point is none", () => {
  const figure = (x, y) => ({ data: [{ x, y }], layout: {} });
  assert.equal(isEmpty(null), true);
  assert.equal(isEmpty(figure([], [])), true);
  assert.equal(isEmpty(figure([1], [2])), false);
});

test("a button of the result stands for a meeting's pairs or for the disputed ones", () => {
  assert.deepEqual(pairsBehind({ behind: "wins", meeting: '["a","b"]', category: "sums" }), {
    meeting: ["a", "b"],
    outcome: "wins",
    category: "sums",
  });
  assert.deepEqual(pairsBehind({ disputed: "" }), { disputed: true });
});

test("what is no JSON is nothing", () => {
  assert.deepEqual(readJson('{"review": "r"}'), { review: "r" });
  for (const text of ["", "{", null]) assert.equal(readJson(text), null);
});
