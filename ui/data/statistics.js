// @ts-check
// Draws a dataset in figures: lengths with a cut-off that is dragged, and a map of its rows.

import { all, part, readJson } from "../static/lib/dom.js";
import { canDraw, drawFigure, onPlotly, whenSeen } from "../static/lib/plotly_theme.js";

/** @import { Component } from "../static/lib/dom.js" */
/** @import { Figure } from "../static/lib/plotly_theme.js" */

/**
 * @typedef {object} Statistics
 * @property {string} dataset
 * @property {Figure} lengths
 * @property {number[]} sorted  lengths of rows, or of every so many of them
 * @property {number} rows
 * @property {Figure} sides
 * @property {Figure} bars
 */

const CONFIG = { displayModeBar: false };

/**
 * What Gradio calls when the component is on the page.
 * @param {Component & { trigger: (event: string, data: object) => void }} component
 */
export function mount(component) {
  new Drawing(component).begin();
}

/**
 * How many of some rows are longer than a cut-off, in words.
 * @param {number[]} sorted
 * @param {number} rows
 * @param {number} cut
 */
export function longerThan(sorted, rows, cut) {
  const share = sorted.filter((length) => length > cut).length / Math.max(sorted.length, 1);
  const about = sorted.length < rows ? "about " : "";
  const count = Math.round(share * rows).toLocaleString("en");
  const percent = (100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0);
  const tokens = Math.round(cut).toLocaleString("en");
  return `${about}${count} rows (${percent} %) are longer than ${tokens} tokens`;
}

class Drawing {
  /** @param {Component & { trigger: (event: string, data: object) => void }} component */
  constructor({ element, props, server, watch, trigger }) {
    this.element = element;
    this.props = props;
    this.server = server;
    this.watch = watch;
    this.trigger = trigger;
    /** @type {Statistics | null} */
    this.shown = null;
  }

  begin() {
    whenSeen(this.element, () => this.draw());
    for (const button of all(this.element, "[data-map]"))
      button.addEventListener("click", () => this.drawMap(button.dataset.map || "category"));
    this.watch("value", () => this.read());
    this.read();
  }

  read() {
    const read = readJson(this.props.value);
    this.shown = read?.dataset ? read : null;
    part(this.element, "map").hidden = true;
    part(this.element, "map-note").textContent = "";
    requestAnimationFrame(() => this.draw());
  }

  draw() {
    const { element, shown } = this;
    if (!shown || !canDraw(element, () => this.draw())) return;
    drawFigure(part(element, "lengths"), shown.lengths, {
      ...CONFIG,
      edits: { shapePosition: true },
    });
    drawFigure(part(element, "sides"), shown.sides, CONFIG);
    drawFigure(part(element, "bars"), shown.bars, CONFIG);
    this.sayCut(shown.lengths.layout.shapes[0].x0);
    onPlotly(part(element, "lengths"), "plotly_relayout", (change) => {
      const cut = change["shapes[0].x0"];
      if (cut !== undefined) this.sayCut(cut);
    });
  }

  /** @param {number} cut */
  sayCut(cut) {
    if (!this.shown) return;
    const words = longerThan(this.shown.sorted, this.shown.rows, cut);
    part(this.element, "cut").textContent = `${words}. Drag the line to try another length.`;
  }

  /** @param {string} by */
  async drawMap(by) {
    const { element, shown } = this;
    if (!shown) return;
    part(element, "map-note").textContent = "Laying the rows out …";
    const answer = await this.server.map_rows({ dataset: shown.dataset, by });
    if (this.shown !== shown) return; // another dataset was chosen meanwhile
    const failed = !answer || answer.error || !answer.figure;
    part(element, "map-note").textContent = failed
      ? answer?.error || "There are too few rows for a map."
      : answer.note;
    part(element, "map").hidden = failed;
    if (failed) return;
    const place = part(element, "map");
    drawFigure(place, answer.figure, { ...CONFIG, scrollZoom: true });
    onPlotly(place, "plotly_click", (event) =>
      this.trigger("jump", { row: event.points[0].customdata }),
    );
  }
}
