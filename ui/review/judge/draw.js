// @ts-check
// Draws what changed of the judging screen's state. Asks nothing and decides nothing.

import {
  all,
  drawProgress,
  field,
  find,
  make,
  makeButton,
  part,
  setPressed,
} from "../../static/lib/dom.js";
import { laidOut, rendered, visible } from "../../static/lib/visible_text.js";
import { diffWords } from "../../static/lib/word_diff.js";
import { endWords, leakWords, peopleWords, progressWords, timeLeft, whoWords } from "./words.js";

/** @import { Mark, Pair, Side, State, View, ViewName } from "./types.js" */
/** @import { Piece } from "../../static/lib/word_diff.js" */

const LONGEST = 50000; // characters; more lays out slowly, and the rest is one press away
const MOST_STARS = 5; // that a single response can get by a verdict
/** @type {Side[]} */
const SIDES = ["a", "b"];
/** @type {Mark[]} */
const MARKS = ["flagged", "unblinded"];

/**
 * @param {HTMLElement} element
 * @param {State} before
 * @param {State} after
 */
export function drawChanges(element, before, after) {
  const shows = after.showing !== before.showing;
  if (after.rubric !== before.rubric) drawRubric(element, after);
  if (after.offered !== before.offered) addRemarks(element, after);
  if (shows) drawPair(element, after);
  else if (after.view !== before.view) drawAnswers(element, after);
  if (after.remarks !== before.remarks || after.offered !== before.offered)
    drawRemarks(element, after);
  if (after.notice !== before.notice) drawNotice(element, after);
  if (after.people !== before.people)
    part(element, "people").textContent = peopleWords(after.people);
  part(element, "expected-box").hidden = !after.expectedOpen;
  if (after.detailsOpen !== before.detailsOpen) drawDetails(element, after);
}

/**
 * Put in the stars by which a single response is judged; the skeleton holds what all reviews have.
 * @param {HTMLElement} element
 */
export function addStarVerdicts(element) {
  const group = find(element, "[data-answers=stars]");
  for (let number = 1; number <= MOST_STARS; number++) {
    const button = makeButton(`${number} ★`);
    button.dataset.verdict = "stars";
    button.dataset.stars = String(number);
    button.append(" ", make("kbd", String(number)));
    group.append(button);
  }
}

/**
 * Let one response follow the other's scrolling, while that is wanted.
 * @param {HTMLElement} element
 * @param {() => boolean | undefined} wanted
 */
export function scrollTogether(element, wanted) {
  /** @type {Side | null} */
  let leading = null; // the side that a person scrolls; the other one follows
  for (const side of SIDES) {
    const [one, two] = [part(element, side), part(element, side === "a" ? "b" : "a")];
    for (const event of ["pointerenter", "focus", "touchstart", "wheel"])
      one.addEventListener(event, () => (leading = side), { passive: true });
    one.addEventListener("scroll", () => {
      const room = one.scrollHeight - one.clientHeight;
      if (!wanted() || leading !== side || room <= 0) return;
      two.scrollTop = (one.scrollTop / room) * (two.scrollHeight - two.clientHeight);
    });
  }
}

/**
 * @param {HTMLElement} element
 * @param {State} state
 */
function drawPair(element, state) {
  const { current: pair, who, waiting, done, total } = state;
  part(element, "end").textContent = endWords(state);
  for (const button of all(element, "[data-action=results]"))
    button.hidden = waiting || !document.getElementById("tab-results");
  element.dataset.pair = pair ? String(pair.id) : "";
  element.dataset.done = String(done);
  part(element, "work").hidden = !pair;
  part(element, "finished").hidden = Boolean(pair) || !who || (total === 0 && !who.adjudicates);
  part(element, "who").textContent = whoWords(state);
  part(element, "progress").textContent = progressWords(state);
  part(element, "left").textContent = timeLeft(state);
  drawProgress(element, done, total);
  part(element, "leak").textContent = pair ? leakWords(pair) : "";
  if (!pair) return;
  put(element, "prompt", pair.prompt);
  put(element, "expected", pair.expected);
  drawMode(element, pair.response_mode);
  drawAnswers(element, state);
}

/**
 * One response or two, and the buttons that go with them.
 * @param {HTMLElement} element
 * @param {Pair["response_mode"]} mode
 */
function drawMode(element, mode) {
  const single = mode !== "pairs";
  find(element, ".sides").classList.toggle("single", single);
  part(element, "other").hidden = single;
  part(element, "heading").textContent = single ? "Response" : "A";
  for (const name of ["scroll", "differences"])
    find(element, `[data-view=${name}]`).hidden = single;
  for (const group of all(element, "[data-answers]")) group.hidden = group.dataset.answers !== mode;
}

/**
 * The responses in the way this person wants to see them.
 * @param {HTMLElement} element
 * @param {State} state
 */
function drawAnswers(element, { current, view }) {
  drawViews(element, view);
  if (!current) return;
  const pieces = piecesThatDiffer(current, view);
  SIDES.forEach((side, which) => {
    const markup = view.markdown ? current.rendered[side] : "";
    const place = part(element, side);
    put(element, side, current[side]);
    if (pieces) place.replaceChildren(...pieces[which].map(drawPiece));
    else if (markup) place.replaceChildren(rendered(markup));
    place.classList.toggle("rendered", Boolean(markup));
  });
}

/**
 * @param {HTMLElement} element
 * @param {View} view
 */
export function drawViews(element, view) {
  for (const button of all(element, "[data-view]"))
    setPressed(button, Boolean(view[/** @type {ViewName} */ (button.dataset.view)]));
}

/**
 * @param {Pair} pair
 * @param {View} view
 */
function piecesThatDiffer({ a, b, response_mode: mode }, { differences }) {
  if (!differences || mode !== "pairs" || a.length + b.length > LONGEST) return null;
  return diffWords(visible(a).trim(), visible(b).trim());
}

/** @param {Piece} piece */
const drawPiece = ({ text, differs }) => (differs ? make("mark", text) : text);

/**
 * Show a text from its top, and of a very long one the beginning.
 * @param {HTMLElement} element
 * @param {string} name
 * @param {string} text
 */
function put(element, name, text) {
  const place = part(element, name);
  const shown = laidOut(text);
  place.textContent = shown.slice(0, LONGEST) || "(no text)";
  place.scrollTop = 0;
  for (const more of all(element, `[data-more=${name}]`)) {
    more.hidden = shown.length <= LONGEST;
    more.onclick = () => {
      place.textContent = shown;
      more.hidden = true;
    };
  }
}

/**
 * @param {HTMLElement} element
 * @param {State} state
 */
function drawNotice(element, { notice }) {
  const place = part(element, "notice");
  place.textContent = notice.text;
  place.dataset.kind = notice.kind;
}

/**
 * @param {HTMLElement} element
 * @param {State} state
 */
function drawRubric(element, { rubric }) {
  part(element, "rubric-box").hidden = !rubric.text;
  part(element, "rubric-name").textContent = visible(rubric.name);
  part(element, "rubric").textContent = visible(rubric.text);
}

/**
 * Make the buttons of stars and tags, once it is known which there are.
 * @param {HTMLElement} element
 * @param {State} state
 */
function addRemarks(element, { offered }) {
  for (const side of SIDES) {
    const said = find(element, `[data-said=${side}]`);
    for (let number = 1; number <= offered.stars; number++) {
      const star = makeButton("★");
      star.dataset.star = String(number);
      star.setAttribute("aria-label", `${side.toUpperCase()}: ${number} of ${offered.stars} stars`);
      find(said, ".stars").append(star);
    }
    for (const name of offered.tags) {
      const tag = makeButton(name);
      tag.dataset.tag = name;
      find(said, ".tags").append(tag);
    }
  }
}

/**
 * @param {HTMLElement} element
 * @param {State} state
 */
function drawRemarks(element, { remarks }) {
  for (const side of SIDES) {
    const { stars, tags } = remarks[side];
    const said = find(element, `[data-said=${side}]`);
    for (const star of all(said, "[data-star]")) {
      setPressed(star, Number(star.dataset.star) === stars);
      star.classList.toggle("lit", Number(star.dataset.star) <= (stars ?? 0));
    }
    for (const tag of all(said, "[data-tag]"))
      setPressed(tag, tags.includes(tag.dataset.tag ?? ""));
  }
  for (const name of MARKS) setPressed(find(element, `[data-mark=${name}]`), remarks[name]);
  for (const name of /** @type {const} */ (["comment", "correction"])) {
    const written = field(element, name);
    // a text that is the same already keeps the cursor where it is
    if (written.value !== remarks[name]) written.value = remarks[name];
  }
}

/**
 * @param {HTMLElement} element
 * @param {State} state
 */
function drawDetails(element, { detailsOpen }) {
  part(element, "details").hidden = !detailsOpen;
  for (const said of all(element, ".said")) said.hidden = !detailsOpen;
}
