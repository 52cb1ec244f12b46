// @ts-check
// Judges at work: how far each is, with a button that stops it; and what the buttons beside the
// judges of a review do.

import { make, makeButton, part, readJson } from "../static/lib/dom.js";

/** @import { Component } from "../static/lib/dom.js" */

const EVERY_MS = 1000;
const PRESSED = "#judges :is([data-judge-rest], [data-judge-forget])";

/**
 * @typedef {object} Task
 * @property {string} name
 * @property {boolean} going_on
 * @property {string} words
 * @property {string} left
 * @property {number | null} share
 */

/**
 * What Gradio calls when the component is on the page.
 * @param {Component} component
 */
export function mount(component) {
  new Judging(component).begin();
}

class Judging {
  /** @param {Component} component */
  constructor({ element, props, server, watch, trigger }) {
    this.element = element;
    this.props = props;
    this.server = server;
    this.watch = watch;
    this.trigger = trigger;
    this.review = "";
    /** @type {Set<string>} */
    this.atWork = new Set();
    this.timer = 0;
  }

  begin() {
    document.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement} */ (event.target).closest?.(PRESSED);
      if (!button || !this.element.isConnected) return;
      const { judgeRest, judgeForget } = /** @type {HTMLElement} */ (button).dataset;
      const what = judgeRest ? "rest" : "forget";
      if (what === "forget" && !confirm("Forget this judge with all that it said?")) return;
      this.change({ what, judge: Number(judgeRest || judgeForget) });
    });
    this.watch("value", () => this.read());
    this.read();
  }

  /** Ask how the judges are, and again while one is at work. */
  async read() {
    clearTimeout(this.timer);
    const review = readJson(this.props.value)?.review ?? "";
    if (review !== this.review) this.atWork.clear();
    this.review = review;
    if (!review) return this.show([]);
    const answer = await this.server.read_judging({ review }).catch(() => null);
    if (!this.element.isConnected || review !== this.review) return;
    if (answer?.error) this.tell(answer.error);
    else if (answer) this.show(answer.tasks);
    if (!answer || this.atWork.size) this.timer = setTimeout(() => this.read(), EVERY_MS);
  }

  /** @param {Task[]} tasks */
  show(tasks) {
    const before = this.atWork;
    this.atWork = new Set(tasks.filter((task) => task.going_on).map((task) => task.name));
    const seen = tasks.filter((task) => task.going_on || task.words);
    part(this.element, "tasks").replaceChildren(...seen.map((task) => this.draw(task)));
    if ([...before].some((name) => !this.atWork.has(name))) this.trigger("judged");
  }

  /** @param {Task} task */
  draw(task) {
    const line = make("li");
    const left = task.left ? `, ${task.left} left` : "";
    line.append(make("p", `${task.name}: ${task.words}${left}`));
    if (task.share !== null) {
      const bar = make("progress");
      bar.max = 1;
      bar.value = task.share;
      bar.setAttribute("aria-label", "How much is judged");
      line.append(bar);
    }
    const what = task.going_on ? "stop" : "hide";
    const button = makeButton(task.going_on ? "Stop, keeping what it said" : "Hide");
    button.addEventListener("click", () => this.change({ what, name: task.name }));
    line.append(button);
    return line;
  }

  /** @param {{ what: string, name?: string, judge?: number }} asked */
  async change(asked) {
    const question = { review: this.review, ...asked };
    const answer = await this.server.change_judge(question).catch(() => null);
    this.tell(answer ? (answer.error ?? "") : "Fuata does not answer. Is it still running?");
    if (answer?.done === "forget") this.trigger("judged");
    this.read();
  }

  /** @param {string} words */
  tell(words) {
    part(this.element, "failed").textContent = words;
  }
}
