import assert from "node:assert/strict";
import { test } from "node:test";

import { laidOut, visible } from "../../ui/static/lib/visible_text.js";
import { diffWords } from "../../ui/static/lib/word_diff.js";

const differing = (a, b) =>
  diffWords(a, b).map((side) => side.filter((piece) => piece.differs).map((piece) => piece.text));
const together = (side) => side.map((piece) => piece.text).join("");

test("words that only one text has differ", () => {
  assert.deepEqual(differing("the same words", "the same other words"), [[], ["other"]]);
  assert.deepEqual(differing("one two", "three"), [["one", "two"], ["three"]]);
  assert.deepEqual(differing("same", "same"), [[], []]);
  assert.deepEqual(differing("", "x"), [[], ["x"]]);
});

test("order counts: a longest common subsequence stays", () => {
  assert.deepEqual(differing("a b c d", "b a c d"), [["a"], ["a"]]);
  assert.deepEqual(differing("x x y", "x y"), [["x"], []]);
});

test("space never differs, and no character is lost", () => {
  const [a, b] = ["one \n\t two", "  one two three "];
  const [left, right] = diffWords(a, b);
  assert.deepEqual([together(left), together(right)], [a, b]);
  assert.deepEqual(differing(a, b), [[], ["three"]]);
});

test("very many words are not compared", () => {
  const words = (count) => "w ".repeat(count);
  assert.equal(diffWords(words(2001), words(2000)), null);
  assert.notEqual(diffWords(words(1000), words(1000)), null);
});

test("invisible characters are shown by their codes", () => {
  assert.equal(visible("a\u202eb\u0000c\u2066"), "a\\u202eb\\u0000c\\u2066");
  assert.equal(visible("tab\tline\nمرحبا 🙂"), "tab\tline\nمرحبا 🙂");
});

test("blank lines around a text go, and its first line's indent stays", () => {
  assert.equal(laidOut(" \n\n  x\n\ny\n \n"), "  x\n\ny");
});
