// @ts-check
// Draws what the result's markup cannot, and shows the pairs behind a number that is pressed.

import { dialog, make, makeForText, part, readJson } from "../static/lib/dom.js";
import { canDraw, drawFigure, onPlotly, whenSeen } from "../static/lib/plotly_theme.js";

/** @import { Component } from "../static/lib/dom.js" */
/** @import { Figure } from "../static/lib/plotly_theme.js" */

/**
 * @typedef {object} Result
 * @property {string} review
 * @property {string} reviewer
 * @property {string} tag
 * @property {string} category
 * @property {string} split
 * @property {Figure | null} win_rates
 * @property {Figure | null} losses
 * @property {string} loss_words
 */
/**
 * @typedef {object} JudgedPair
 * @property {number} row
 * @property {string} category
 * @property {string} prompt
 * @property {string} expected
 * @property {[name: string, text: string][]} responses
 * @property {[who: string, verdict: string, comment: string][]} said
 */

const PRESSED = "#result :is([data-behind], [data-disputed]), #judges [data-judge]";

/**
 * What Gradio calls when the component is on the page.
 * @param {Component} component
 */
export function mount(component) {
  new Charts(component).begin();
}

class Charts {
  /** @param {Component} component */
  constructor({ element, props, server, watch }) {
    this.element = element;
    this.props = props;
    this.server = server;
    this.watch = watch;
    /** @type {Result | null} */
    this.shown = null;
  }

  begin() {
    document.addEventListener("click", (event) => {
      const button = /** @type {HTMLElement} */ (event.target).closest?.(PRESSED);
      if (!button || !this.element.isConnected) return;
      this.open(pairsBehind(/** @type {HTMLElement} */ (button).dataset));
    });
    whenSeen(this.element, () => this.draw());
    this.watch("value", () => this.read());
    this.read();
  }

  read() {
    const read = readJson(this.props.value);
    this.shown = read?.review ? read : null;
    if (!this.shown)
      for (const name of ["win-rates", "losses"]) part(this.element, `${name}-box`).hidden = true;
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    const { element, shown } = this;
    if (!shown || !canDraw(element, () => this.draw())) return;
    part(element, "loss-words").textContent = shown.loss_words || "";
    this.drawChart("win-rates", shown.win_rates);
    this.drawChart("losses", shown.losses);
    onPlotly(part(element, "win-rates"), "plotly_click", (event) => {
      const [first, second, category] = event.points[0].customdata;
      this.open({ meeting: [first, second], category });
    });
  }

  /**
   * @param {string} name
   * @param {Figure | null} figure
   */
  drawChart(name, figure) {
    part(this.element, `${name}-box`).hidden = !figure;
    if (figure) drawFigure(part(this.element, name), figure, { displayModeBar: false });
  }

  /**
   * Show pairs in a dialog.
   * @param {{ category?: string, meeting?: string[], outcome?: string, disputed?: boolean,
   *   judge?: number }} asked
   */
  async open(asked) {
    if (!this.shown) return;
    const { review, reviewer, tag, split } = this.shown;
    const category = asked.category || this.shown.category;
    const question = { review, reviewer, tag, split, ...asked, category };
    const answer = await this.server.list_pairs(question);
    const failed = !answer || answer.error;
    const pairs = failed ? [] : answer.pairs;
    const more = failed || !answer.left ? 0 : answer.left;
    part(this.element, "title").textContent = failed
      ? answer?.error || "Fuata does not answer. Is it still running?"
      : answer.title;
    part(this.element, "pairs").replaceChildren(...pairs.map(drawPair));
    part(this.element, "more").textContent = more
      ? `${more} more pairs: export the review to see them all.`
      : "";
    const behind = dialog(this.element, "behind");
    if (!behind.open) behind.showModal();
  }
}

/**
 * Which pairs a button of the result stands for.
 * @param {DOMStringMap} button
 */
export function pairsBehind({ behind, meeting, category, judge }) {
  if (judge) return { judge: Number(judge) };
  if (!meeting) return { disputed: true };
  return { meeting: JSON.parse(meeting), outcome: behind, category };
}

/** @param {JudgedPair} pair */
function drawPair({ row, category, prompt, expected, responses, said }) {
  const drawn = make("article");
  const two = make("div", "", "two");
  for (const [name, text] of responses) {
    const side = make("div");
    side.append(make("h4", name), drawText(text || "(no text)"));
    two.append(side);
  }
  drawn.append(make("h4", `Row ${row}${category ? `, ${category}` : ""}`), drawText(prompt), two);
  if (expected) drawn.append(make("h4", "Expected answer"), drawText(expected));
  for (const [who, verdict, comment] of said)
    drawn.append(make("p", `${who}: ${verdict}${comment ? `. ${comment}` : ""}`));
  return drawn;
}

/** @param {string} text */
function drawText(text) {
  const drawn = makeForText("div", text, "text");
  drawn.tabIndex = 0; // a long one is scrolled, by the keyboard too
  return drawn;
}
