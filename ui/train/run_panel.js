// Draws one run and the table of all runs. Asks the server once a second while it can be seen; holds nothing that matters.
const part = (name) => element.querySelector(`[data-part=${name}]`);
const action = (name) => element.querySelector(`[data-action=${name}]`);
const plot = part("plot");
const details = part("details");
const look = { axis: "steps", smoothing: 0.9, log: false, details: false };
const compared = new Set();
let noted = null, epochs = 0;
let chosen = null, shown = null, listed = "", paused = false, asking = false, again = false, drawn = "", figure = null, small = null;

const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
const say = (name, text) => { const node = part(name); node.textContent = text || ""; node.hidden = !text; };
const show = (name, wanted) => { action(name).hidden = !wanted; };

function draw() {
  plot.hidden = !figure || figure.data[0].x.length === 0 && figure.data[0].y.length === 0;
  part("look").hidden = plot.hidden;
  details.hidden = plot.hidden || !small;
  if (!plot.hidden) paint(plot, figure);
  if (!details.hidden) paint(details, small);
}

function paint(place, drawing) {
  if (!window.Plotly) return;
  const ink = css("--body-text-color"), grid = css("--border-color-primary"), paper = css("--background-fill-primary");
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid };
  const layout = { ...drawing.layout, uirevision: `${shown} ${look.axis} ${look.log}`, autosize: true, font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", hoverlabel: { bgcolor: paper, bordercolor: grid, font: { color: ink } },
    modebar: { color: ink, activecolor: "#0d9488", bgcolor: "transparent" },
  };
  for (const name of Object.keys(drawing.layout)) if (/^[xy]axis/.test(name)) layout[name] = { ...drawing.layout[name], ...axis };
  window.Plotly.react(place, drawing.data, layout, { responsive: true, displaylogo: false, showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d"] });
}

function cell(line, text) { const td = document.createElement("td"); td.textContent = text; line.append(td); return td; }

function stateOf(run) { return run.paused ? "paused" : run.state; }

function paintRuns(runs) {
  const now = JSON.stringify([runs, shown, [...compared]]);
  if (now === listed) return;  // a click or the focus must not fall between two tables
  listed = now;
  const focused = document.activeElement?.closest?.("tr")?.dataset.run, kind = document.activeElement?.tagName;
  const body = part("runs");
  body.replaceChildren(...runs.map((run) => {
    const line = document.createElement("tr");
    line.dataset.run = run.name;
    line.dataset.shown = run.name === shown;
    const pick = document.createElement("button");
    pick.type = "button"; pick.textContent = run.name;
    pick.addEventListener("click", () => { chosen = run.name; say("refusal", ""); ask(); });
    const tick = document.createElement("input");
    tick.type = "checkbox"; tick.checked = compared.has(run.name); tick.disabled = run.name === shown;
    tick.setAttribute("aria-label", `Lay ${run.name} over the run that is shown`);
    tick.addEventListener("change", () => { if (tick.checked) compared.add(run.name); else compared.delete(run.name); ask(); });
    cell(line, "").append(tick);
    cell(line, "").append(pick);
    line.title = run.note;
    cell(line, stateOf(run));
    for (const key of ["model", "dataset", "method", "style", "learning_rate", "steps", "base_loss", "best_loss", "time"]) cell(line, run[key]);
    return line;
  }));
  if (focused) [...body.children].find((line) => line.dataset.run === focused)?.querySelector(kind.toLowerCase())?.focus();
}

function paintAnswers(groups) {
  part("watch").hidden = groups.length === 0;
  part("answers").replaceChildren(...groups.map((group) => {
    const card = document.createElement("article");
    const prompt = document.createElement("p"), expected = document.createElement("p"), row = document.createElement("div");
    const strong = document.createElement("b");
    strong.textContent = group.prompt; prompt.append(strong); prompt.dir = "auto";
    expected.textContent = `Expected: ${group.expected}`; expected.dir = "auto"; expected.className = "quiet";
    row.className = "row"; row.tabIndex = 0; row.setAttribute("aria-label", "Answers by step");
    for (const item of [...group.answers].reverse()) {
      const box = document.createElement("div"), step = document.createElement("small");
      step.textContent = item.step === 0 ? "base model" : `step ${item.step}`;
      box.dir = "auto"; box.append(step, document.createTextNode(item.answer || "(no text)")); row.append(box);
    }
    card.append(prompt, expected, row);
    return card;
  }));
}

function paintRun(run, asked) {
  shown = run.name; paused = run.paused;
  element.dataset.run = run.name; element.dataset.state = run.state; element.dataset.points = run.points; element.dataset.step = run.step;
  part("name").textContent = run.name;
  const pill = part("state"); pill.hidden = false; pill.textContent = stateOf(run); pill.dataset.state = run.state;
  const percent = run.total ? Math.round(100 * run.step / run.total) : 0;
  part("bar").style.width = `${percent}%`;
  element.querySelector("[role=progressbar]").setAttribute("aria-valuenow", percent);
  show("reuse", true); show("report", run.points > 0);
  part("noting").hidden = false;
  if (part("note") !== document.activeElement) part("note").value = run.note;
  say("outcome", run.outcome); part("next").hidden = !(run.at_rest && run.has_model);
  say("progress", run.progress); say("message", run.message); say("merge", run.merge); say("warning", run.warning);
  show("pause", run.state === "training"); action("pause").textContent = run.paused ? "Go on" : "Pause";
  show("sooner", run.place > 1); action("stop").textContent = run.place ? "Take out of the queue" : "Stop and keep the best";
  show("stop", run.can_stop); show("resume", run.can_resume); show("discard", run.at_rest); show("rename", run.at_rest);
  show("extend", run.can_extend); show("merge", run.can_merge && run.at_rest && !run.can_stop_merge); show("stop_merge", run.can_stop_merge); epochs = run.epochs;
  const now = JSON.stringify([run.name, run.points, run.compared_points, run.state, run.answers.map((group) => group.answers.length), asked]);
  if (now === drawn) return;
  drawn = now; figure = run.figure; small = run.details; draw(); paintAnswers(run.answers); paintDifferences(run);
}

function paintDifferences(run) {
  part("differ").hidden = run.differences.length === 0;
  const head = (text) => { const th = document.createElement("th"); th.textContent = text; return th; };
  const names = [run.name, ...run.compared];
  part("compared").replaceChildren(head("setting"), ...names.map(head));
  part("differences").replaceChildren(...run.differences.map((difference) => {
    const line = document.createElement("tr");
    cell(line, difference.setting);
    for (const value of difference.values) cell(line, value);
    return line;
  }));
}

// An answer that never comes must not be the last that was asked for.
const soon = (answer) => Promise.race([answer, new Promise((_, fail) => setTimeout(() => fail(new Error("late")), 15000))]);

async function ask() {
  if (document.hidden || !element.isConnected || element.offsetParent === null) return;
  if (asking) { again = true; return; }
  asking = true; again = false;
  const question = { run: chosen, compare: [...compared], ...look };
  try {
    const answer = await soon(server.watch_runs(question));
    if (!answer || answer.error) { say("trouble", answer?.error || "Fuata does not answer; is it still running?"); return; }
    say("trouble", "");
    if (answer.run) paintRun(answer.run, question); else { drawn = ""; element.dataset.state = ""; }
    paintRuns(answer.runs);
  } catch (error) { say("trouble", "Fuata does not answer; is it still running?"); }
  finally { asking = false; }
  if (again) ask();
}

// Do what a person asked for and return the answer; a refusal stays to be read until the next thing is asked for.
async function tell(question) {
  let answer = null;
  try { answer = await question(); } catch (error) { answer = null; }
  say("refusal", answer ? answer.error : "Nothing was done: Fuata does not answer; is it still running?");
  return answer && !answer.error ? answer : null;
}

// Ask a person for one value; an empty string when they would rather not.
const wanted = (asked, hint, value, kind) => new Promise((resolve) => {
  const dialog = part("asking"), field = part("given");
  part("asked").textContent = asked; part("hint").textContent = hint;
  field.type = kind; field.value = value;
  dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? field.value : ""), { once: true });
  dialog.returnValue = "";
  dialog.showModal();
  field.select();
});

part("cancel").addEventListener("click", () => part("asking").close(""));

async function act(name) {
  if (name === "reuse") { props.value = JSON.stringify({ run: shown }); trigger("reuse"); return; }
  if (name === "report") { await saveReport(); return; }
  if (name === "pause" && paused) name = "go_on";
  if (!shown || (name === "discard" && !confirm(`Delete the run ${shown}, its models and its curves?`))) return;
  const run = shown;
  let value = "";
  if (name === "extend") value = await wanted("Epochs in all", `The run has ${epochs}. It goes on from its last state; the learning rate is from there on that of a run planned so long.`, epochs + 1, "number");
  if (name === "rename") value = await wanted("New name", "Reviews keep the name that it had.", run, "text");
  if ((name === "extend" || name === "rename") && !value) return;
  const answer = await tell(() => server.change_run({ run, action: name, value }));
  if (!answer) return;
  if (name === "rename") chosen = value.trim();
  if (name === "discard") { chosen = null; shown = null; window.location.reload(); }
  ask();
}

async function saveReport() {
  const answer = await tell(() => server.report_run({ run: shown, ...look }));
  if (!answer) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([answer.html], { type: "text/html" }));
  link.download = `${shown}.html`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

for (const input of element.querySelectorAll("[data-look]")) {
  input.addEventListener("input", () => {
    const name = input.dataset.look;
    look[name] = input.type === "checkbox" ? input.checked : input.type === "range" ? Number(input.value) : input.value;
    ask();
  });
}
part("note").addEventListener("focus", () => { noted = shown; });
part("note").addEventListener("change", () => tell(() => server.change_run({ run: noted, action: "note", note: part("note").value })));
for (const name of ["reuse", "report", "pause", "sooner", "stop", "resume", "extend", "merge", "stop_merge", "rename", "discard"]) action(name).addEventListener("click", () => act(name));
action("chat").addEventListener("click", () => window.fuataOpen("chat"));
action("judge").addEventListener("click", () => window.fuataOpen("review"));
watch("value", () => { try { chosen = JSON.parse(props.value).run; } catch (error) { chosen = null; } ask(); });
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
setInterval(ask, 1000);
ask();
