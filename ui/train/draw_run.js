// @ts-check
// Draws one run and the table of all. Asks nothing and holds nothing.

import { drawProgress, find, make, makeButton, makeForText, part } from "../static/lib/dom.js";
import { COLUMNS, shownActions, stateWord } from "./run_state.js";

/** @import { AnswerGroup, ExportedFile, Run, RunSummary } from "./run_state.js" */

/**
 * Say something in its place; nothing hides the place.
 * @param {HTMLElement} element
 * @param {string} name
 * @param {string} [text]
 */
export function say(element, name, text = "") {
  const place = part(element, name);
  place.textContent = text;
  place.hidden = !text;
}

/**
 * Draw what a run says of itself in words, and its buttons.
 * @param {HTMLElement} element
 * @param {Run} run
 */
export function drawRun(element, run) {
  const { name, state, points, step } = run;
  Object.assign(element.dataset, { run: name, state, points, step });
  part(element, "name").textContent = name;
  const pill = part(element, "state");
  pill.hidden = false;
  pill.textContent = stateWord(run);
  pill.dataset.state = state;
  drawProgress(element, step, run.total);
  drawNote(element, run);
  part(element, "next").hidden = !(run.at_rest && run.has_model);
  for (const words of /** @type {const} */ ([
    "outcome",
    "progress",
    "message",
    "export",
    "warning",
  ]))
    say(element, words, run[words]);
  drawExported(element, run.exported);
  for (const [action, wanted] of Object.entries(shownActions(run)))
    find(element, `[data-action=${action}]`).hidden = !wanted;
  find(element, "[data-action=pause]").textContent = run.paused ? "Go on" : "Pause";
  find(element, "[data-action=stop]").textContent = run.place
    ? "Take out of the queue"
    : "Stop and keep the best";
}

/**
 * Draw the models to take away; left alone while they are the same, for a pointer may be on one.
 * @param {HTMLElement} element
 * @param {ExportedFile[]} files
 */
function drawExported(element, files) {
  const list = part(element, "exported");
  const now = JSON.stringify(files);
  if (list.dataset.drawn === now) return;
  list.dataset.drawn = now;
  list.hidden = files.length === 0;
  list.replaceChildren(
    ...files.map(({ file, path, size }) => {
      const [line, link] = [make("li"), /** @type {HTMLAnchorElement} */ (make("a", file))];
      link.href = `gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
      link.download = file;
      const copy = makeButton("Copy its path");
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(path);
        copy.textContent = "Copied";
      });
      line.append(link, ` ${size} `, copy);
      return line;
    }),
  );
}

/**
 * @param {HTMLElement} element
 * @param {Run} run
 */
function drawNote(element, { note }) {
  const written = /** @type {HTMLInputElement} */ (part(element, "note"));
  part(element, "noting").hidden = false;
  if (written !== document.activeElement) written.value = note;
}

/**
 * Draw the watched prompts' answers, the latest first.
 * @param {HTMLElement} element
 * @param {AnswerGroup[]} groups
 */
export function drawAnswers(element, groups) {
  part(element, "watch").hidden = groups.length === 0;
  part(element, "answers").replaceChildren(...groups.map(drawGroup));
}

/** @param {AnswerGroup} group */
function drawGroup({ prompt, expected, answers }) {
  const card = make("article");
  const asked = makeForText("p", "");
  asked.append(make("b", prompt));
  const row = make("div", "", "row");
  row.tabIndex = 0;
  row.setAttribute("aria-label", "Answers by step");
  for (const { step, answer } of [...answers].reverse()) {
    const box = makeForText("div", "");
    box.append(make("small", step === 0 ? "base model" : `step ${step}`), answer || "(no text)");
    row.append(box);
  }
  card.append(asked, makeForText("p", `Expected: ${expected}`, "quiet"), row);
  return card;
}

/**
 * Draw in which settings the runs that are laid over each other differ.
 * @param {HTMLElement} element
 * @param {Run} run
 */
export function drawDifferences(element, { name, compared, differences }) {
  part(element, "differ").hidden = differences.length === 0;
  const heads = ["setting", name, ...compared].map((text) => make("th", text));
  part(element, "compared").replaceChildren(...heads);
  part(element, "differences").replaceChildren(
    ...differences.map(({ setting, values }) => {
      const line = make("tr");
      line.append(...[setting, ...values].map((text) => make("td", text)));
      return line;
    }),
  );
}

/**
 * @typedef {object} Choices
 * @property {string | null} shown  the run that is shown
 * @property {Set<string>} compared  those laid over it
 * @property {(name: string) => void} onChoose
 * @property {(name: string, wanted: boolean) => void} onCompare
 */

/**
 * Draw the table of all runs, with the focus where it was.
 * @param {HTMLElement} element
 * @param {RunSummary[]} runs
 * @param {Choices} choices
 */
export function drawRuns(element, runs, choices) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const line = /** @type {HTMLElement | null} */ (focused?.closest("tr"));
  const body = part(element, "runs");
  body.replaceChildren(...runs.map((run) => drawRunLine(run, choices)));
  if (!line?.dataset.run || !focused) return;
  const lines = /** @type {HTMLElement[]} */ ([...body.children]);
  const same = lines.find((one) => one.dataset.run === line.dataset.run);
  /** @type {HTMLElement | null | undefined} */ (
    same?.querySelector(focused.tagName.toLowerCase())
  )?.focus();
}

/**
 * @param {RunSummary} run
 * @param {Choices} choices
 */
function drawRunLine(run, { shown, compared, onChoose, onCompare }) {
  const line = make("tr");
  const [tick, pick] = [make("input"), makeButton(run.name)];
  line.dataset.run = run.name;
  line.dataset.shown = String(run.name === shown);
  line.title = run.note;
  tick.type = "checkbox";
  tick.checked = compared.has(run.name);
  tick.disabled = run.name === shown;
  tick.setAttribute("aria-label", `Lay ${run.name} over the run that is shown`);
  tick.addEventListener("change", () => onCompare(run.name, tick.checked));
  pick.addEventListener("click", () => onChoose(run.name));
  for (const control of [tick, pick]) {
    const cell = make("td");
    cell.append(control);
    line.append(cell);
  }
  const texts = [stateWord(run), ...COLUMNS.map((column) => run[column])];
  line.append(...texts.map((text) => make("td", text)));
  return line;
}
