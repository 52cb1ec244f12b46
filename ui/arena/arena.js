// @ts-check
// A battle: one's own prompt to two hidden models, both answers at an even pace, a verdict, the
// names. Until the verdict the page knows no name.

import { all, field, find, make, makeForText, part, readJson } from "../static/lib/dom.js";
import { isPlain, PAIR_KEYS } from "../static/lib/verdict_keys.js";

/** @import { Component } from "../static/lib/dom.js" */

const EVERY_MS = 150;
const SILENT = "Fuata does not answer. Is it still running?";

/** @typedef {{ prompt: string, a: string, b: string }} Round */
/** @typedef {{ rounds: Round[], is_done: boolean, failure: string }} Shown */

/**
 * What Gradio calls when the component is on the page.
 * @param {Component} component
 */
export function mount(component) {
  new Battle(component).begin();
}

class Battle {
  /** @param {Component} component */
  constructor({ element, props, server, trigger }) {
    this.element = element;
    this.props = props;
    this.server = server;
    this.trigger = trigger;
    this.section = find(element, "section");
    this.key = ""; // of the battle that is fought; none before the first prompt, after the verdict
    this.person = "";
    this.timer = 0;
    this.isAsking = false;
    this.isVoting = false;
    this.isWriting = false;
  }

  begin() {
    const { element } = this;
    part(element, "form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask();
    });
    part(element, "prompt").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.ask();
    });
    part(element, "anew").addEventListener("click", () => this.anew());
    for (const button of all(element, "[data-verdict]"))
      button.addEventListener("click", () => this.vote(button.dataset.verdict ?? ""));
    element.addEventListener("keydown", (event) => this.press(event));
    this.showForm();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const isTyped = target.matches("textarea, input");
    const isScrolled = event.key.startsWith("Arrow") && target.matches(".text");
    if (isTyped || isScrolled || !isPlain(event)) return;
    const key = event.key.toLowerCase();
    const isOpen = !part(this.element, "verdicts").hidden;
    if (isOpen && PAIR_KEYS[key]) this.vote(PAIR_KEYS[key]);
    else if (key === "n" && !part(this.element, "anew").hidden) this.anew();
    else return;
    event.preventDefault();
  }

  async ask() {
    const box = field(this.element, "prompt");
    if (this.isAsking || this.isWriting) return;
    if (!this.key) this.person = nameOnPage();
    if (!this.person && !readJson(this.props.value)?.signed_in)
      return this.tell("Write your name above first.");
    const asked = { key: this.key, person: this.person, prompt: box.value };
    this.isAsking = true;
    if (!this.key) part(this.element, "rounds").replaceChildren();
    const what = this.key ? "go_on" : "begin_battle";
    const answer = await this.server[what](asked).catch(() => null);
    this.isAsking = false;
    if (!answer || answer.error) return this.refuse(answer?.error);
    this.key = answer.key ?? this.key;
    box.value = "";
    this.isWriting = true;
    this.section.focus({ preventScroll: true }); // whose keys judge
    this.tell("Both are getting ready …");
    this.showForm();
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    const { key, person } = this;
    if (!key) return;
    const shown = await this.server.read_battle({ key, person }).catch(() => null);
    if (key !== this.key || !this.element.isConnected) return;
    if (shown?.error || shown?.failure) return this.end(shown.error || shown.failure);
    if (shown) this.show(shown);
    if (!shown?.is_done) this.timer = setTimeout(() => this.look(), EVERY_MS);
  }

  /** @param {Shown} shown */
  show({ rounds, is_done }) {
    const place = part(this.element, "rounds");
    while (place.children.length < rounds.length) place.append(drawRound());
    const last = rounds[rounds.length - 1];
    rounds.forEach((round, number) => {
      const isWriting = round === last && !is_done;
      fillRound(/** @type {HTMLElement} */ (place.children[number]), round, isWriting);
    });
    const isSeen = !!(last.a || last.b || is_done);
    part(this.element, "verdicts").hidden = !isSeen;
    if (is_done) {
      this.isWriting = false;
      this.tell("Which is better? Or ask both something more.");
    } else if (isSeen) this.tell("You may judge before they are done.");
    this.showForm();
  }

  /** @param {string} verdict */
  async vote(verdict) {
    const { key, person } = this;
    if (!key || this.isVoting) return;
    this.isVoting = true;
    const told = await this.server.vote({ key, person, verdict }).catch(() => null);
    this.isVoting = false;
    if (!told || told.error) return this.refuse(told?.error);
    for (const side of /** @type {const} */ (["a", "b"]))
      for (const heading of all(this.element, `[data-side=${side}] h3`))
        heading.textContent = `${side.toUpperCase()}: ${told[side]}`;
    const leak = told.leak
      ? ` A reply named a model (“${told.leak}”), so this battle is not counted.`
      : "";
    this.end(`A was ${told.a}, B was ${told.b}.${leak}`);
    this.trigger("voted");
  }

  /**
   * Say why something was refused; a battle that is gone is found out by looking.
   * @param {string | undefined} words
   */
  async refuse(words) {
    this.tell(words ?? SILENT);
    const { key, person } = this;
    if (!key || !words) return;
    const shown = await this.server.read_battle({ key, person }).catch(() => null);
    if (shown?.error && key === this.key) this.end(shown.error);
  }

  /** @param {string} words */
  end(words) {
    clearTimeout(this.timer);
    this.key = "";
    this.isWriting = false;
    for (const text of all(this.element, ".text")) text.classList.remove("writing");
    part(this.element, "verdicts").hidden = true;
    this.tell(words);
    this.showForm();
  }

  anew() {
    this.end("");
    part(this.element, "rounds").replaceChildren();
    this.showForm();
    field(this.element, "prompt").focus();
  }

  showForm() {
    const isFought = !!this.key;
    part(this.element, "asks").textContent = isFought ? "Ask both once more" : "Ask two models";
    part(this.element, "anew").hidden = !part(this.element, "rounds").children.length;
    /** @type {HTMLButtonElement} */ (part(this.element, "send")).disabled = this.isWriting;
  }

  /** @param {string} words */
  tell(words) {
    const notice = part(this.element, "notice");
    if (notice.textContent !== words) notice.textContent = words;
  }
}

/** Who battles, as the field beside says, read when it is needed: nobody waits for it. */
function nameOnPage() {
  const box = document.querySelector("#arena-person :is(input, textarea)");
  return /** @type {HTMLInputElement | null} */ (box)?.value.trim() ?? "";
}

function drawRound() {
  const round = make("article");
  const sides = make("div", "", "sides");
  for (const side of ["a", "b"]) {
    const drawn = make("div");
    drawn.dataset.side = side;
    const text = makeForText("div", "", "text");
    text.tabIndex = 0; // a long one is scrolled, by the keyboard too
    text.setAttribute("aria-label", `Answer of ${side.toUpperCase()}`);
    drawn.append(make("h3", side.toUpperCase()), text);
    sides.append(drawn);
  }
  round.append(makeForText("p", "", "asked"), sides);
  return round;
}

/**
 * @param {HTMLElement} drawn
 * @param {Round} round
 * @param {boolean} isWriting
 */
function fillRound(drawn, round, isWriting) {
  const asked = all(drawn, ".asked")[0];
  if (asked.textContent !== round.prompt) asked.textContent = round.prompt;
  for (const side of /** @type {const} */ (["a", "b"])) {
    const text = all(drawn, `[data-side=${side}] .text`)[0];
    text.classList.toggle("writing", isWriting);
    if (text.textContent !== round[side]) text.textContent = round[side];
  }
}
