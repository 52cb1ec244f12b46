// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { longerThan } from "../../ui/data/statistics.js";

test("rows over a cut-off are counted, and guessed from a part where only that is there", () => {
  assert.equal(longerThan([1, 2, 3, 4], 4, 2), "2 rows (50 %) are longer than 2 tokens");
  assert.equal(longerThan([1, 2, 3, 4], 4, 9), "0 rows (0 %) are longer than 9 tokens");
  assert.equal(
    longerThan([10, 20], 4000, 15.4),
    "about 2,000 rows (50 %) are longer than 15 tokens",
  );
});
