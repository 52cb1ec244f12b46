// @ts-check
// What the run panel makes of what the server tells of runs. Pure: no page, no network.

/** @import { Figure } from "../static/lib/plotly_theme.js" */

/**
 * A line of the table of runs; see run_summary in views.py.
 * @typedef {Record<string, string> & { name: string, state: string, note: string,
 *   paused: boolean }} RunSummary
 */
/**
 * @typedef {object} AnswerGroup  a watched prompt with its answers
 * @property {string} prompt
 * @property {string} expected
 * @property {{ step: number, answer: string }[]} answers
 */
/** @typedef {{ file: string, path: string, size: string }} ExportedFile  a model to take away */
/**
 * The run that is shown; see watch_runs in run_panel.py.
 * @typedef {object} Run
 * @property {string} name
 * @property {string} state
 * @property {string} note
 * @property {string} progress
 * @property {string} outcome
 * @property {string} message
 * @property {string} export
 * @property {string} warning
 * @property {boolean} paused
 * @property {boolean} at_rest
 * @property {boolean} has_model
 * @property {boolean} can_stop
 * @property {boolean} can_resume
 * @property {boolean} can_extend
 * @property {boolean} has_adapter
 * @property {boolean} is_exporting
 * @property {ExportedFile[]} exported
 * @property {number} place  in the queue; 0 where it does not wait
 * @property {number} points  how many measurements there are
 * @property {number} step
 * @property {number} total
 * @property {number} epochs
 * @property {Figure} figure
 * @property {Figure | null} details
 * @property {AnswerGroup[]} answers
 * @property {string[]} compared
 * @property {number[]} compared_points
 * @property {{ setting: string, values: string[] }[]} differences
 */
/** @typedef {{ axis: string, smoothing: number, log: boolean, details: boolean }} ChartOptions */

/** @type {ChartOptions} */
export const CHART_OPTIONS = { axis: "steps", smoothing: 0.9, log: false, details: false };

/** The columns of the table of runs after its name and state. */
export const COLUMNS = [
  "model",
  "dataset",
  "method",
  "style",
  "learning_rate",
  "steps",
  "base_loss",
  "best_loss",
  "time",
];

/**
 * A run's state in one word.
 * @param {{ paused: boolean, state: string }} run
 */
export const stateWord = (run) => (run.paused ? "paused" : run.state);

/**
 * Which buttons a run has.
 * @param {Run} run
 * @returns {Record<string, boolean>}
 */
export const shownActions = (run) => ({
  reuse: true,
  report: run.points > 0,
  pause: run.state === "training",
  sooner: run.place > 1,
  stop: run.can_stop,
  resume: run.can_resume,
  discard: run.at_rest,
  rename: run.at_rest,
  extend: run.can_extend,
  export: run.has_model && run.at_rest && !run.is_exporting,
  stop_export: run.is_exporting,
});

/**
 * What the drawing of a run depends on beside its words: while it stays the same, charts, answers
 * and differences are left alone, with what a person zoomed and selected in them.
 * @param {Run} run
 * @param {object} question  what was asked for
 */
export function drawingKey(run, question) {
  const answers = run.answers.map((group) => group.answers.length);
  return JSON.stringify([run.name, run.points, run.compared_points, run.state, answers, question]);
}

/** @param {Figure | null} figure */
export const isEmpty = (figure) =>
  !figure || (figure.data[0].x.length === 0 && figure.data[0].y.length === 0);
