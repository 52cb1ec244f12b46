// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { restWords } from "../../ui/benchmarks/board.js";

const shown = {
  sentences: ["a", "b", "c"],
  shown: 1,
  baseline: "pocket",
  models: ["pocket", "tuned"],
};

test("what stands below the sentences says how many comparisons were made and seen", () => {
  assert.equal(
    restWords(shown, 2),
    "1 more tasks show no difference. " +
      "3 comparisons with pocket, question by question; 1 of them shown (Holm).",
  );
  assert.equal(
    restWords({ ...shown, sentences: ["a"], shown: 0 }, 1),
    "One comparison with pocket, question by question; none shows a difference (Holm).",
  );
  assert.equal(restWords({ ...shown, models: ["pocket"] }, 0), "");
  assert.equal(restWords({ ...shown, sentences: [] }, 0), "");
});
