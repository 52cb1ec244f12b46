// What is said of work that takes long.

import assert from "node:assert/strict";
import { test } from "node:test";
import { progressWords } from "../../ui/progress/bar.js";

test("work is told with its share and the time left", () => {
  const work = { title: "Checking rows.jsonl", share: 0.419, left_s: 12.4 };
  assert.equal(progressWords(work), "Checking rows.jsonl: 41 %, about 12 s left");
  assert.equal(
    progressWords({ ...work, left_s: 0.2 }),
    "Checking rows.jsonl: 41 %, about 1 s left",
  );
  assert.equal(
    progressWords({ ...work, left_s: 240 }),
    "Checking rows.jsonl: 41 %, about 4 min left",
  );
  assert.equal(progressWords({ ...work, left_s: null }), "Checking rows.jsonl: 41 %");
});
