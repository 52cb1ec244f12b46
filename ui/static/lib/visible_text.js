// @ts-check
// Texts of models and people, as they may stand on the page.

// Control characters and marks of direction or width: nobody would see them.
const INVISIBLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
// The only elements of rendered Markdown that ever reach the page, without any attribute.
const ALLOWED = new Set(
  (
    "P H1 H2 H3 H4 H5 H6 UL OL LI BLOCKQUOTE PRE CODE EM STRONG S BR HR " +
    "TABLE THEAD TBODY TR TH TD"
  ).split(" "),
);

/**
 * A text with its invisible characters shown by their codes: they must not decide a verdict.
 * @param {string} text
 */
export const visible = (text) =>
  text.replace(INVISIBLE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/**
 * A text as it is laid out: blank lines around it say nothing but who wrote it.
 * @param {string} text
 */
export const laidOut = (text) =>
  visible(text)
    .replace(/^(\s*\n)+/, "")
    .trimEnd();

/**
 * Rendered Markdown, copied element by element; what is not allowed stays text.
 * @param {string} markup
 */
export function rendered(markup) {
  const made = document.createDocumentFragment();
  copyAllowed(new DOMParser().parseFromString(markup, "text/html").body, made);
  return made;
}

/**
 * @param {Node} from
 * @param {Element | DocumentFragment} to
 */
function copyAllowed(from, to) {
  for (const node of from.childNodes) {
    const isElement = node instanceof Element;
    if (isElement && ALLOWED.has(node.tagName)) {
      const made = document.createElement(node.tagName);
      copyAllowed(node, made);
      to.append(made);
    } else if (isElement || node.nodeType === Node.TEXT_NODE) {
      to.append(visible(node.textContent ?? ""));
    }
  }
}
