// @ts-check
// An evaluation: how far it is, its scores, what changed, and the questions behind a score.

import { dialog, make, makeButton, makeForText, part, readJson } from "../static/lib/dom.js";
import { canDraw, drawFigure, whenSeen } from "../static/lib/plotly_theme.js";

/** @import { Component } from "../static/lib/dom.js" */
/** @import { Figure } from "../static/lib/plotly_theme.js" */

const EVERY_MS = 1000;
const FIRST_SENTENCES = 8;
const CHARTS = /** @type {const} */ (["differences", "scores", "radar"]);

/**
 * @typedef {object} Cell
 * @property {string} text
 * @property {string} interval
 * @property {string} metric
 * @property {string} questions
 * @property {string} note
 * @property {string} message
 */
/**
 * @typedef {object} Line
 * @property {string} task
 * @property {string} title
 * @property {boolean} group
 * @property {(Cell | null)[]} cells
 */
/**
 * @typedef {object} Shown
 * @property {string} name
 * @property {string} state
 * @property {string} state_words
 * @property {boolean} going_on
 * @property {boolean} stopping
 * @property {string} message
 * @property {{ text: string, left: string, share: number | null } | null} progress
 * @property {string[]} models
 * @property {string} baseline
 * @property {Line[]} lines
 * @property {string[]} sentences
 * @property {number} shown
 * @property {string} facts
 * @property {Figure | null} scores
 * @property {Figure | null} radar
 * @property {Figure | null} differences
 */
/**
 * @typedef {object} Question
 * @property {number} number
 * @property {string} prompt
 * @property {string} gold
 * @property {{ model: string, answer: string, score: string, right: boolean }[]} answers
 */

/**
 * What Gradio calls when the component is on the page.
 * @param {Component} component
 */
export function mount(component) {
  new Board(component).begin();
}

class Board {
  /** @param {Component} component */
  constructor({ element, props, server, watch, trigger }) {
    this.element = element;
    this.props = props;
    this.server = server;
    this.watch = watch;
    this.trigger = trigger;
    /** @type {Shown | null} */
    this.shown = null;
    this.drawn = ""; // of what was drawn last
    this.timer = 0;
    this.asked = { task: "", offset: 0 };
  }

  begin() {
    const { element } = this;
    for (const name of ["stop", "go-on", "delete"])
      part(element, name).addEventListener("click", () => this.act(name));
    part(element, "which").addEventListener("change", () => this.open(this.asked.task, 0));
    part(element, "judge").addEventListener("click", () => this.judge());
    part(element, "earlier").addEventListener("click", () => this.turn(-1));
    part(element, "later").addEventListener("click", () => this.turn(1));
    whenSeen(element, () => this.draw());
    this.watch("value", () => this.read());
    this.read();
  }

  /** Ask for the evaluation that is chosen, and again while it goes on. */
  async read() {
    clearTimeout(this.timer);
    const asked = readJson(this.props.value);
    if (!asked?.name) return this.show(null);
    const answer = await this.server.read_evaluation(asked).catch(() => null);
    if (!this.element.isConnected) return;
    if (answer?.error) part(this.element, "state").textContent = answer.error;
    else if (answer) this.show(answer);
    if (!answer || this.shown?.going_on) this.timer = setTimeout(() => this.read(), EVERY_MS);
  }

  /** @param {Shown | null} shown */
  show(shown) {
    const { element } = this;
    const ended = this.shown?.going_on && shown && !shown.going_on;
    this.shown = shown;
    part(element, "empty").hidden = !!shown;
    part(element, "all").hidden = !shown;
    if (!shown) return;
    this.showState(shown);
    const drawn = JSON.stringify([shown.name, shown.lines, shown.sentences]);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.showTable(shown);
      this.showSentences(shown);
      requestAnimationFrame(() => this.draw());
    }
    if (ended) this.trigger("completed");
  }

  /** @param {Shown} shown */
  showState(shown) {
    const { element } = this;
    const doing = shown.progress ? `. ${shown.progress.text}` : "";
    const why = !shown.going_on && shown.message ? `: ${shown.message}` : "";
    const words = shown.stopping ? "stopping after this request" : shown.state_words;
    part(element, "state").textContent = `${shown.name}: ${words}${why}${doing}`;
    part(element, "left").textContent = shown.progress?.left ?? "";
    const share = shown.progress?.share ?? null;
    part(element, "track").hidden = !shown.going_on || share === null;
    part(element, "track").setAttribute("aria-valuenow", String(Math.round(100 * (share ?? 0))));
    part(element, "bar").style.width = `${100 * (share ?? 0)}%`;
    part(element, "stop").hidden = !shown.going_on || shown.stopping;
    part(element, "go-on").hidden = shown.going_on || shown.state === "finished";
    part(element, "delete").hidden = shown.going_on;
    part(element, "facts").textContent = `Asked with ${shown.facts}.`;
  }

  /** @param {Shown} shown */
  showTable(shown) {
    const head = make("tr");
    head.append(make("th", "task"), ...shown.models.map((model) => makeForText("th", model)));
    part(this.element, "head").replaceChildren(head);
    part(this.element, "lines").replaceChildren(
      ...shown.lines.map((line) => {
        const row = make("tr", "", line.group ? "group" : "");
        row.append(make("th", line.title), ...line.cells.map((cell) => this.drawCell(line, cell)));
        return row;
      }),
    );
  }

  /**
   * @param {Line} line
   * @param {Cell | null} cell
   */
  drawCell(line, cell) {
    if (!cell) return make("td", "…");
    if (cell.message) {
      const failed = make("td", "not run", "failed");
      failed.append(make("small", cell.message));
      return failed;
    }
    const drawn = make("td");
    if (line.group) drawn.append(cell.text);
    else {
      const button = makeButton(cell.text);
      button.className = "fuata-link";
      button.title = "See the questions";
      button.addEventListener("click", () => this.open(line.task, 0));
      drawn.append(button);
    }
    const between = cell.interval ? `${cell.interval}, ` : "";
    drawn.append(make("small", `${cell.metric}, ${between}${cell.questions} questions`));
    if (cell.note) drawn.append(make("small", cell.note));
    return drawn;
  }

  /** @param {Shown} shown */
  showSentences(shown) {
    const { element } = this;
    const several = shown.models.length > 1 && shown.sentences.length > 0;
    part(element, "verdict-title").hidden = !several;
    const first = shown.sentences.slice(0, Math.max(FIRST_SENTENCES, shown.shown));
    part(element, "sentences").replaceChildren(...first.map((text) => make("li", text)));
    part(element, "rest").textContent = restWords(shown, first.length);
  }

  draw() {
    const { element, shown } = this;
    if (!shown || !canDraw(element, () => this.draw())) return;
    for (const name of CHARTS) {
      part(element, `${name}-box`).hidden = !shown[name];
      const figure = shown[name];
      if (figure) drawFigure(part(element, name), figure, { displayModeBar: false });
    }
  }

  /** @param {string} what */
  async act(what) {
    if (!this.shown) return;
    if (what === "delete" && !confirm(`Delete ${this.shown.name} with its results?`)) return;
    const answer = await this.server.change_evaluation({ name: this.shown.name, what });
    if (answer?.error) part(this.element, "state").textContent = answer.error;
    else if (what === "delete") this.trigger("completed");
    else this.read();
  }

  /** Make a review of the answers that are shown, and go there. */
  async judge() {
    if (!this.shown) return;
    const question = { name: this.shown.name, task: this.asked.task };
    const answer = await this.server.judge_questions(question).catch(() => null);
    if (answer?.review) {
      dialog(this.element, "behind").close();
      window.fuataOpen?.("review");
    } else {
      part(this.element, "more").textContent = answer?.error || "Fuata does not answer.";
    }
  }

  /** @param {number} step */
  turn(step) {
    this.open(this.asked.task, this.asked.offset + step);
  }

  /**
   * Show the questions of a task in a dialog.
   * @param {string} task
   * @param {number} page
   */
  async open(task, page) {
    if (!this.shown) return;
    const { element } = this;
    const which = /** @type {HTMLSelectElement} */ (part(element, "which"));
    const question = { name: this.shown.name, task, page, which: which.value };
    const answer = await this.server.read_questions(question).catch(() => null);
    const failed = !answer || answer.error;
    this.asked = { task, offset: failed ? 0 : answer.page };
    part(element, "title").textContent = failed
      ? answer?.error || "Fuata does not answer. Is it still running?"
      : answer.title;
    part(element, "questions").replaceChildren(
      ...(failed ? [] : answer.questions.map(drawQuestion)),
    );
    part(element, "more").textContent = failed ? "" : answer.words;
    part(element, "earlier").hidden = failed || answer.page === 0;
    part(element, "judge").hidden = failed || !answer.written;
    part(element, "later").hidden = failed || !answer.more;
    const behind = dialog(element, "behind");
    if (!behind.open) behind.showModal();
    behind.scrollTop = 0;
  }
}

/**
 * What stands below the sentences that are shown.
 * @param {{ sentences: string[], shown: number, baseline: string, models: string[] }} shown
 * @param {number} listed
 */
export function restWords({ sentences, shown, baseline, models }, listed) {
  if (models.length < 2 || sentences.length === 0) return "";
  const left = sentences.length - listed;
  const rest = left > 0 ? `${left} more tasks show no difference. ` : "";
  const made = sentences.length === 1 ? "One comparison" : `${sentences.length} comparisons`;
  const seen = shown === 0 ? "none shows a difference" : `${shown} of them shown`;
  return `${rest}${made} with ${baseline}, question by question; ${seen} (Holm).`;
}

/** @param {Question} question */
function drawQuestion({ number, prompt, gold, answers }) {
  const drawn = make("article");
  drawn.append(make("h4", `Question ${number}`), drawText(prompt), make("h4", "Right"));
  drawn.append(drawText(gold || "(nothing)"));
  const sides = make("div", "", "sides");
  for (const { model, answer, score, right } of answers) {
    const side = make("div");
    const text = drawText(answer || "(nothing)");
    text.classList.add(right ? "right" : "wrong");
    side.append(makeForText("h4", score ? `${model}: ${score}` : model), text);
    sides.append(side);
  }
  drawn.append(sides);
  return drawn;
}

/** @param {string} text */
function drawText(text) {
  const drawn = makeForText("div", text, "text");
  drawn.tabIndex = 0; // a long one is scrolled, by the keyboard too
  return drawn;
}
