// @ts-check
// One reviewer's pairs: what is pressed becomes events of the state, what changed is drawn, and the
// server is asked. The page moves on only after the server has said that a verdict is on disk; the
// next pairs are here already, so moving on is instant.

import { dialog, field, find, isShown, part, readJson } from "../../static/lib/dom.js";
import { isPlain } from "../../static/lib/verdict_keys.js";
import { addStarVerdicts, drawChanges, drawViews, scrollTogether } from "./draw.js";
import { drawHistory } from "./history.js";
import { keep, kept, remember, remembered } from "./memory.js";
import { intentOfButton, intentOfKey } from "./shortcuts.js";
import { initialState, knownIds, missing, ratingToSend, reduce, unseenSide } from "./state.js";

/** @import { Component } from "../../static/lib/dom.js" */
/** @import { Intent } from "./shortcuts.js" */
/** @import { Event as JudgingEvent, Side, Who } from "./types.js" */

const LOOK_AGAIN_MS = 20000; // for pairs that are on other people's screens
const PEOPLE_MS = 10000;
const BAR_PX = 90; // the height of the buttons that stay at the foot of a narrow screen
const NO_ANSWER = "Fuata does not answer. Is it still running?";
const TYPED_IN = "input,textarea,select,[contenteditable=true],[role=combobox],[role=tab]";

/**
 * What Gradio calls when the component is on the page.
 * @param {Component} component
 */
export function mount(component) {
  new Judging(component).begin();
}

class Judging {
  /** @param {Component} component */
  constructor({ element, props, server, watch }) {
    this.element = element;
    this.props = props;
    this.server = server;
    this.watch = watch;
    this.state = initialState(remembered("view"));
    this.leaving = false;
    this.lookingAgain = 0;
  }

  begin() {
    addStarVerdicts(this.element);
    drawViews(this.element, this.state.view);
    scrollTogether(this.element, () => this.state.view.scroll);
    this.listen();
    this.watch("value", () => {
      const who = this.opened();
      if (!who) return; // Gradio may set the empty value of a page that loads anew once more
      keep("who", who);
      this.section().focus(); // the keys are to judge at once, not to go on writing the name
      this.start(who);
    });
    setInterval(() => this.showPeople(), PEOPLE_MS);
    this.start(this.opened() ?? kept("who"));
  }

  listen() {
    const { element } = this;
    window.addEventListener("beforeunload", () => {
      this.leaving = true;
    });
    for (const event of ["scroll", "resize"])
      window.addEventListener(event, () => this.look(), { capture: true, passive: true });
    document.addEventListener("keydown", (event) => this.pressKey(event));
    element.addEventListener("click", (event) => this.pressButton(event));
    for (const name of /** @type {const} */ (["comment", "correction"])) {
      const written = field(element, name);
      written.addEventListener("input", () =>
        this.dispatch({ type: "written", field: name, text: written.value }),
      );
    }
    part(element, "older").addEventListener("click", () => this.guarded(() => this.listOlder()));
  }

  /** @param {JudgingEvent} event */
  dispatch(event) {
    const before = this.state;
    const after = reduce(before, event);
    if (after === before) return;
    this.state = after;
    drawChanges(this.element, before, after);
    drawHistory(this.element, before.history, after.history, (pair) => {
      dialog(this.element, "history").close();
      this.reopen(pair);
    });
    if (after.view !== before.view) remember("view", after.view);
    if (after.showing !== before.showing) this.followShowing();
  }

  /** Do what goes with another pair on the screen, or none. */
  followShowing() {
    const { current, moved, waiting } = this.state;
    clearInterval(this.lookingAgain);
    if (waiting)
      this.lookingAgain = setInterval(() => this.guarded(() => this.advance()), LOOK_AGAIN_MS);
    if (!current) this.showPeople();
    if (moved) this.scrollToPair();
    this.look();
  }

  /** @param {KeyboardEvent} event */
  pressKey(event) {
    const { element } = this;
    const target = /** @type {HTMLElement} */ (event.target);
    const isRead = dialog(element, "sheet").open || dialog(element, "history").open;
    if (!isShown(element) || isRead) return;
    if (event.key === "Enter" && target.closest?.("#reviewer"))
      setTimeout(() => this.section().focus());
    if (!isPlain(event)) return;
    if (event.key === "Escape" && element.contains(target) && target.matches("textarea")) {
      target.blur();
      return;
    }
    if (target.closest?.(TYPED_IN)) return;
    const intent = intentOfKey(event.key, this.state.current?.response_mode);
    if (!intent) return;
    event.preventDefault();
    this.perform(intent);
  }

  /** @param {MouseEvent} event */
  pressButton(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const button = target.closest("button");
    if (!button) return;
    const { star, tag } = button.dataset;
    const said = /** @type {HTMLElement | null} */ (button.closest("[data-said]"));
    const side = /** @type {Side} */ (said?.dataset.said);
    if (star) this.dispatch({ type: "starred", side, stars: Number(star) });
    if (tag) this.dispatch({ type: "tagged", side, tag });
    const intent = intentOfButton(button.dataset);
    if (intent) this.perform(intent);
  }

  /** @param {Intent} intent */
  perform(intent) {
    switch (intent.act) {
      case "vote":
        return this.vote(intent.verdict, intent.stars);
      case "view":
        return this.dispatch({ type: "viewed", name: intent.name });
      case "mark":
        return this.dispatch({ type: "marked", mark: intent.name });
      case "undo":
        return this.undo();
      case "skip":
        return this.skip();
      case "expected":
        return this.dispatch({ type: "expectedToggled" });
      case "details":
        return this.toggleDetails();
      case "rubric":
        return this.toggleRubric();
      case "history":
        return this.openHistory();
      case "help":
        return dialog(this.element, "sheet").showModal();
      case "results":
        return window.fuataOpen("results");
    }
  }

  /**
   * Whose pairs these are, by what the screen above says.
   * @returns {Who | null}
   */
  opened() {
    const read = readJson(this.props.value);
    return read?.review ? read : null;
  }

  /** @param {Who | null} who */
  async start(who) {
    this.dispatch({ type: "opened", who });
    if (!who) {
      this.dispatch({ type: "cleared", now: performance.now() });
      return;
    }
    const sent = kept("verdict");
    try {
      if (sent && JSON.stringify(sent.who) === JSON.stringify(who)) await this.send(sent.rating);
    } catch (error) {
      this.complain(error);
    }
    this.showPeople();
    try {
      await this.refill();
      if (this.state.who !== who) return; // another review was opened meanwhile
      this.dispatch({ type: "advanced", now: performance.now() });
      const nothing = !this.state.total && !who.adjudicates;
      this.say(nothing ? "This review has no pairs yet." : "");
      await this.refill();
    } catch (error) {
      this.dispatch({ type: "cleared", now: performance.now() });
      this.complain(error);
    }
  }

  /**
   * Do one thing at a time: what is pressed while another is on its way is not heard.
   * @param {() => Promise<void>} work
   */
  async guarded(work) {
    const before = this.state;
    this.dispatch({ type: "began" });
    if (this.state === before) return;
    try {
      await work();
    } catch (error) {
      this.complain(error);
    } finally {
      this.dispatch({ type: "ended" });
    }
  }

  /** @param {string} text */
  say(text) {
    this.dispatch({ type: "said", text });
  }

  /** @param {unknown} error */
  complain(error) {
    const text = error instanceof Error ? error.message : String(error);
    this.dispatch({ type: "said", text, kind: "error" });
  }

  /**
   * Ask the server. Throws what it refuses, in its words.
   * @param {string} name
   * @param {object} question
   */
  async call(name, question) {
    const answer = await this.server[name]({ ...this.state.who, ...question });
    if (!answer) throw new Error(NO_ANSWER);
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  async refill() {
    const { who, skipped } = this.state;
    const count = missing(this.state);
    if (!count) return;
    const question = { count, known: knownIds(this.state), skipped };
    const { pairs, done, total, rubric, tags, stars } = await this.call("fetch_pairs", question);
    this.dispatch({ type: "fetched", who, pairs, done, total, rubric, tags, stars });
  }

  async advance() {
    if (!this.state.queue.length) await this.refill();
    this.dispatch({ type: "advanced", now: performance.now() });
    this.refill().catch((error) => this.complain(error));
  }

  /** @param {{ pair?: number }} rating */
  async send(rating) {
    const again = "Not saved. Press the key again.";
    keep("verdict", { who: this.state.who, rating });
    const saved = await this.call("save_verdict", rating).catch((error) => {
      if (!this.leaving) keep("verdict", null); // else it is sent by the page that comes
      throw new Error(`${again} (${error.message})`);
    });
    keep("verdict", null);
    if (saved.pair !== rating.pair) throw new Error(again);
    return saved;
  }

  /**
   * @param {string} verdict
   * @param {number | null} stars
   */
  vote(verdict, stars) {
    return this.guarded(async () => {
      if (!this.state.current) return;
      this.look();
      const side = unseenSide(this.state);
      if (side) {
        part(this.element, side).scrollIntoView({ block: "center", behavior: "smooth" });
        throw new Error(`Read response ${side.toUpperCase()} first.`);
      }
      const { done, total } = await this.send(ratingToSend(this.state, verdict, stars));
      this.dispatch({ type: "saved", done, total });
      await this.advance();
    });
  }

  undo() {
    return this.guarded(async () => {
      const { pair, rating, done } = await this.call("undo_verdict", {});
      this.dispatch({ type: "undone", pair, rating, done, now: performance.now() });
    });
  }

  skip() {
    return this.guarded(async () => {
      if (!this.state.current) return;
      this.dispatch({ type: "skipped" });
      try {
        await this.advance();
      } catch (error) {
        this.dispatch({ type: "skipFailed" });
        throw error;
      }
    });
  }

  openHistory() {
    return this.guarded(async () => {
      this.dispatch({ type: "historyOpened" });
      await this.listOlder();
      dialog(this.element, "history").showModal();
    });
  }

  async listOlder() {
    const before = this.state.history.listed.at(-1)?.pair ?? 0;
    const { verdicts, more } = await this.call("list_verdicts", { before });
    this.dispatch({ type: "historyListed", verdicts, more });
  }

  /** @param {number} id */
  reopen(id) {
    return this.guarded(async () => {
      const { pair, rating } = await this.call("open_verdict", { pair: id });
      this.dispatch({ type: "reopened", pair, rating, now: performance.now() });
    });
  }

  /** Tell how far everybody is, while the screen is looked at; nobody misses it when it fails. */
  async showPeople() {
    const { who } = this.state;
    if (!who || !isShown(this.element) || document.hidden) return;
    const people = await this.server.list_people({ review: who.review }).catch(() => null);
    if (people && !people.error) this.dispatch({ type: "peopleTold", who, people });
  }

  /** Note which responses are on the screen. */
  look() {
    for (const side of /** @type {Side[]} */ (this.state.current ? ["a", "b"] : [])) {
      const { top, bottom } = part(this.element, side).getBoundingClientRect();
      if (bottom > 0 && top < innerHeight - BAR_PX) this.dispatch({ type: "seen", side });
    }
  }

  section() {
    return find(this.element, "section");
  }

  /** A pair begins at its top: on a phone the one before may have been scrolled far down. */
  scrollToPair() {
    const isAbove = this.section().getBoundingClientRect().top < 0;
    if (isAbove || matchMedia("(max-width: 640px)").matches)
      this.section().scrollIntoView({ block: "start" });
  }

  toggleDetails() {
    this.dispatch({ type: "detailsToggled" });
    if (this.state.detailsOpen) field(this.element, "comment").focus();
  }

  /** The browser itself keeps whether it is open, for its summary can be pressed too. */
  toggleRubric() {
    const box = /** @type {HTMLDetailsElement} */ (part(this.element, "rubric-box"));
    box.open = !box.open;
  }
}
