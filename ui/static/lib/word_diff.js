// How the two responses are shown: as they are, rendered, or with what only one of them has marked. Text stays text: rendered
// Markdown is copied element by element, and only elements named here, without any attribute, ever reach the page.
const LONGEST = 50000;                       // more than this lays out slowly; the rest is one press away
const MOST_WORDS = 4000;                     // of both together, that differences are looked for in
const ALLOWED = new Set(["P", "H1", "H2", "H3", "H4", "H5", "H6", "UL", "OL", "LI", "BLOCKQUOTE", "PRE", "CODE", "EM", "STRONG",
  "S", "BR", "HR", "TABLE", "THEAD", "TBODY", "TR", "TH", "TD"]);

// Control characters, the bidirectional ones too, are shown by their code: invisible text must not decide a verdict.
const visible = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
  (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

function copyAllowed(from, to) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) { to.append(visible(node.textContent)); continue; }
    if (node.nodeType !== Node.ELEMENT_NODE) continue;
    if (!ALLOWED.has(node.tagName)) { to.append(visible(node.textContent)); continue; }
    const made = document.createElement(node.tagName);
    copyAllowed(node, made);
    to.append(made);
  }
}

function rendered(markup) {
  const made = document.createDocumentFragment();
  copyAllowed(new DOMParser().parseFromString(markup, "text/html").body, made);
  return made;
}

// Which words of each side stand in a longest common subsequence of both (Wagner and Fischer 1974); null where it would take long.
function commonWords(a, b) {
  if (a.length + b.length > MOST_WORDS) return null;
  const width = b.length + 1, best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
  const inA = new Set(), inB = new Set();
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) { inA.add(i++); inB.add(j++); }
    else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++; else j++;
  }
  return [inA, inB];
}

const words = (text) => text.match(/\s+|[^\s]+/g) ?? [];
const isSpace = (word) => /^\s/.test(word);

// The texts of A and B as two fragments in which the words that only one has are marked, or null.
function marked(a, b) {
  const sides = [words(a), words(b)];
  const real = sides.map((side) => side.filter((word) => !isSpace(word)));
  const common = commonWords(...real);
  return common && sides.map((side, which) => {
    const made = document.createDocumentFragment();
    let at = 0;
    for (const word of side) {
      if (isSpace(word) || common[which].has(at++)) { made.append(word); continue; }
      const mark = document.createElement("mark");
      mark.textContent = word;
      made.append(mark);
    }
    return made;
  });
}
