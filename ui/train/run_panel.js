// @ts-check
// One run and the table of all runs. Asks the server once a second while it can be seen; holds
// nothing that matters.

import { all, dialog, find, isShown, part, readJson } from "../static/lib/dom.js";
import { drawFigure } from "../static/lib/plotly_theme.js";
import { drawAnswers, drawDifferences, drawRun, drawRuns, say } from "./draw_run.js";
import { CHART_OPTIONS, drawingKey, isEmpty } from "./run_state.js";

/** @import { Component } from "../static/lib/dom.js" */
/** @import { Figure } from "../static/lib/plotly_theme.js" */
/** @import { Run, RunSummary } from "./run_state.js" */

const ASK_MS = 1000;
const LATE_MS = 15000; // an answer that never comes must not be the last that was asked for
const KEEP_FILE_MS = 10000; // the browser takes a download at its own pace
const NO_ANSWER = "Fuata does not answer; is it still running?";
const BUTTONS = [
  "reuse",
  "report",
  "pause",
  "sooner",
  "stop",
  "resume",
  "extend",
  "export",
  "stop_export",
  "rename",
  "discard",
];
const NEED_VALUE = ["extend", "rename", "export"];
const CHART_BUTTONS = {
  displaylogo: false,
  showSendToCloud: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d"],
};

/**
 * What Gradio calls when the component is on the page.
 * @param {Component} component
 */
export function mount(component) {
  new RunPanel(component).begin();
}

class RunPanel {
  /** @param {Component} component */
  constructor({ element, props, trigger, server, watch }) {
    this.element = element;
    this.props = props;
    this.trigger = trigger;
    this.server = server;
    this.watch = watch;
    this.look = { ...CHART_OPTIONS };
    /** @type {Set<string>} */
    this.compared = new Set();
    /** @type {string | null} */
    this.chosen = null; // the run that a person chose; null shows the latest
    /** @type {Run | null} */
    this.run = null; // the one that is shown
    /** @type {string | null} */
    this.noted = null; // the run whose note is being written
    /** @type {Promise<any>} */
    this.noting = Promise.resolve(); // what was typed last is kept by then
    this.asking = false;
    this.askAgain = false;
    this.drawn = ""; // what charts and answers were drawn from
    this.listed = ""; // what the table was drawn from
  }

  begin() {
    this.listenToButtons();
    this.listenToFields();
    this.watch("value", () => {
      this.chosen = readJson(this.props.value)?.run ?? null;
      this.ask();
    });
    new MutationObserver(() => this.drawCharts()).observe(document.body, {
      attributes: true, // light and dark are a class of it
      attributeFilter: ["class"],
    });
    setInterval(() => this.ask(), ASK_MS);
    this.ask();
  }

  listenToButtons() {
    const press = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      find(this.element, `[data-action=${name}]`).addEventListener("click", act);
    for (const name of BUTTONS) press(name, () => this.act(name));
    press("chat", () => window.fuataOpen("chat"));
    press("judge", () => window.fuataOpen("review"));
    for (const [button, asking] of [
      ["cancel", "asking"],
      ["keep", "exporting"],
    ])
      part(this.element, button).addEventListener("click", () =>
        dialog(this.element, asking).close(""),
      );
  }

  listenToFields() {
    for (const input of /** @type {HTMLInputElement[]} */ (all(this.element, "[data-look]")))
      input.addEventListener("input", () => {
        const value = input.type === "range" ? Number(input.value) : input.value;
        const name = input.dataset.look ?? "";
        Object.assign(this.look, { [name]: input.type === "checkbox" ? input.checked : value });
        this.ask();
      });
    const note = /** @type {HTMLInputElement} */ (part(this.element, "note"));
    note.addEventListener("focus", () => {
      this.noted = this.run?.name ?? null;
    });
    note.addEventListener("change", () => {
      const question = { run: this.noted, action: "note", note: note.value };
      this.noting = this.tell(() => this.server.change_run(question));
    });
  }

  async ask() {
    if (document.hidden || !isShown(this.element)) return;
    if (this.asking) {
      this.askAgain = true;
      return;
    }
    this.asking = true;
    this.askAgain = false;
    const question = { run: this.chosen, compare: [...this.compared], ...this.look };
    try {
      const answer = await inTime(this.server.watch_runs(question));
      const trouble = answer ? answer.error : NO_ANSWER;
      say(this.element, "trouble", trouble);
      if (!trouble) this.draw(answer, question);
    } catch {
      say(this.element, "trouble", NO_ANSWER);
    } finally {
      this.asking = false;
    }
    if (this.askAgain) this.ask();
  }

  /**
   * @param {{ run: Run | null, runs: RunSummary[] }} answer
   * @param {object} question
   */
  draw({ run, runs }, question) {
    if (run) this.drawRun(run, question);
    else {
      this.drawn = "";
      this.element.dataset.state = "";
    }
    this.drawRuns(runs);
  }

  /**
   * @param {Run} run
   * @param {object} question
   */
  drawRun(run, question) {
    const now = drawingKey(run, question);
    const isSame = now === this.drawn;
    const figures = isSame && this.run ? this.run : run; // those that are drawn
    this.run = { ...run, figure: figures.figure, details: figures.details };
    drawRun(this.element, run);
    if (isSame) return;
    this.drawn = now;
    this.drawCharts();
    drawAnswers(this.element, run.answers);
    drawDifferences(this.element, run);
  }

  drawCharts() {
    const { element, run } = this;
    const [plot, details] = [part(element, "plot"), part(element, "details")];
    plot.hidden = isEmpty(run?.figure ?? null);
    part(element, "look").hidden = plot.hidden;
    details.hidden = plot.hidden || !run?.details;
    if (run && !plot.hidden) this.drawChart(plot, run.figure);
    if (run?.details && !details.hidden) this.drawChart(details, run.details);
  }

  /**
   * @param {HTMLElement} place
   * @param {Figure} figure
   */
  drawChart(place, figure) {
    // what was zoomed stays so for as long as the same is shown
    const uirevision = `${this.run?.name} ${this.look.axis} ${this.look.log}`;
    const layout = { ...figure.layout, uirevision };
    drawFigure(place, { ...figure, layout }, CHART_BUTTONS);
  }

  /** @param {RunSummary[]} runs */
  drawRuns(runs) {
    const { compared } = this;
    const shown = this.run?.name ?? null;
    const now = JSON.stringify([runs, shown, [...compared]]);
    if (now === this.listed) return; // a click or the focus must not fall between two tables
    this.listed = now;
    drawRuns(this.element, runs, {
      shown,
      compared,
      onChoose: (name) => {
        this.chosen = name;
        say(this.element, "refusal");
        this.ask();
      },
      onCompare: (name, wanted) => {
        if (wanted) compared.add(name);
        else compared.delete(name);
        this.ask();
      },
    });
  }

  /**
   * Do what a person asked for and return the answer; a refusal stays to be read until the next
   * thing is asked for.
   * @param {() => Promise<any>} question
   */
  async tell(question) {
    const answer = await question().catch(() => null);
    say(this.element, "refusal", answer ? answer.error : `Nothing was done: ${NO_ANSWER}`);
    return answer && !answer.error ? answer : null;
  }

  /** @param {string} name */
  async act(name) {
    await this.noting; // a report made at once holds the note that was just typed
    const { run } = this;
    if (name === "reuse") return this.reuse();
    if (name === "report") return this.saveReport();
    if (!run) return;
    const warning = `Delete the run ${run.name}, its models and its curves?`;
    if (name === "discard" && !confirm(warning)) return;
    const value = NEED_VALUE.includes(name) ? await this.askFor(name, run) : "";
    if (NEED_VALUE.includes(name) && !value) return;
    const action = name === "pause" && run.paused ? "go_on" : name;
    const question = { run: run.name, action, value };
    const answer = await this.tell(() => this.server.change_run(question));
    if (!answer) return;
    if (name === "rename") this.chosen = value.trim();
    if (name === "discard") {
      this.chosen = null;
      this.run = null;
      window.location.reload();
    }
    this.ask();
  }

  reuse() {
    this.props.value = JSON.stringify({ run: this.run?.name ?? null });
    this.trigger("reuse");
  }

  async saveReport() {
    const run = this.run?.name;
    const answer = await this.tell(() => this.server.report_run({ run, ...this.look }));
    if (!answer) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([answer.html], { type: "text/html" }));
    link.download = `${run}.html`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), KEEP_FILE_MS);
  }

  /**
   * Ask a person for what an action needs; "" when they would rather not.
   * @param {string} action
   * @param {Run} run
   */
  askFor(action, run) {
    return action === "export" ? this.askForm(run) : this.askValue(action, run);
  }

  /**
   * @param {string} action  extend or rename
   * @param {Run} run
   * @returns {Promise<string>}
   */
  askValue(action, { name, epochs }) {
    const [asked, hint, value, kind] =
      action === "extend"
        ? ["Epochs in all", extendHint(epochs), String(epochs + 1), "number"]
        : ["New name", "Reviews keep the name that it had.", name, "text"];
    const asking = dialog(this.element, "asking");
    const given = /** @type {HTMLInputElement} */ (part(this.element, "given"));
    part(this.element, "asked").textContent = asked;
    part(this.element, "hint").textContent = hint;
    given.type = kind;
    given.value = value;
    const answer = decided(asking, given);
    given.select();
    return answer;
  }

  /**
   * Ask a person what a model is to be taken away as; "" when they would rather not.
   * @param {Run} run
   * @returns {Promise<string>}
   */
  askForm({ has_adapter }) {
    const form = /** @type {HTMLSelectElement} */ (part(this.element, "form"));
    const adapter = /** @type {HTMLOptionElement} */ (find(form, "[data-adapter]"));
    adapter.hidden = adapter.disabled = !has_adapter;
    if (!has_adapter && form.value === "adapter") form.selectedIndex = 0;
    return decided(dialog(this.element, "exporting"), form);
  }
}

/**
 * Show a dialog, and return what stands in its field once it is closed; "" where it is cancelled.
 * @param {HTMLDialogElement} asking
 * @param {HTMLInputElement | HTMLSelectElement} field
 * @returns {Promise<string>}
 */
function decided(asking, field) {
  asking.returnValue = "";
  return new Promise((resolve) => {
    const close = () => resolve(asking.returnValue === "yes" ? field.value : "");
    asking.addEventListener("close", close, { once: true });
    asking.showModal();
  });
}

/** @param {number} epochs */
const extendHint = (epochs) =>
  `The run has ${epochs}. It goes on from its last state; the learning rate is from there on ` +
  "that of a run planned so long.";

/**
 * An answer, or a failure where it takes too long.
 * @param {Promise<any>} answer
 */
const inTime = (answer) =>
  Promise.race([
    answer,
    new Promise((_, fail) => setTimeout(() => fail(new Error("late")), LATE_MS)),
  ]);
