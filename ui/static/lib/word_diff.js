// @ts-check
// Which words only one of two texts has. Pure: what is made of it on the page is drawn elsewhere.

/** @typedef {{ text: string, differs: boolean }} Piece */

const MOST_WORDS = 4000; // of both texts together; more would take long

/**
 * The two texts in pieces, each a word or the space between two, or null where it would take long.
 * @param {string} a
 * @param {string} b
 * @returns {[Piece[], Piece[]] | null}
 */
export function diffWords(a, b) {
  const [piecesA, piecesB] = [split(a), split(b)];
  const common = commonWords(piecesA.filter(isWord), piecesB.filter(isWord));
  return common && [compare(piecesA, common[0]), compare(piecesB, common[1])];
}

/** @param {string} text */
const split = (text) => text.match(/\s+|\S+/g) ?? [];

/** @param {string} piece */
const isWord = (piece) => /^\S/.test(piece);

/**
 * @param {string[]} pieces
 * @param {Set<number>} common  which words, counted without the spaces, both texts have
 * @returns {Piece[]}
 */
function compare(pieces, common) {
  let at = 0;
  return pieces.map((text) => ({ text, differs: isWord(text) && !common.has(at++) }));
}

/**
 * Which words of each side stand in a longest common subsequence of both (Wagner and Fischer 1974).
 * @param {string[]} a
 * @param {string[]} b
 * @returns {[Set<number>, Set<number>] | null}
 */
function commonWords(a, b) {
  if (a.length + b.length > MOST_WORDS) return null;
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width); // lengths, of what is left from i and j on
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const [below, beside] = [best[(i + 1) * width + j], best[i * width + j + 1]];
      best[i * width + j] =
        a[i] === b[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(below, beside);
    }
  }
  /** @type {[Set<number>, Set<number>]} */
  const common = [new Set(), new Set()];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) {
      common[0].add(i++);
      common[1].add(j++);
    } else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++;
    else j++;
  }
  return common;
}
