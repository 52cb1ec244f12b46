// Draws one run and the table of all runs. Asks the server once a second while it can be seen; holds nothing that matters.
const part = (name) => element.querySelector(`[data-part=${name}]`);
const action = (name) => element.querySelector(`[data-action=${name}]`);
const plot = part("plot");
let chosen = null, shown = null, paused = false, asking = false, drawn = "", figure = null;

const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
const say = (name, text) => { const node = part(name); node.textContent = text || ""; node.hidden = !text; };
const show = (name, wanted) => { action(name).hidden = !wanted; };

function draw() {
  plot.hidden = !figure || figure.data[0].x.length === 0 && figure.data[0].y.length === 0;
  if (plot.hidden || !window.Plotly) return;
  const ink = css("--body-text-color"), grid = css("--border-color-primary"), paper = css("--background-fill-primary");
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid };
  const layout = { ...figure.layout, uirevision: shown, autosize: true, font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", hoverlabel: { bgcolor: paper, bordercolor: grid, font: { color: ink } },
    modebar: { color: ink, activecolor: "#0d9488", bgcolor: "transparent" },
    xaxis: { ...figure.layout.xaxis, ...axis }, yaxis: { ...figure.layout.yaxis, ...axis } };
  window.Plotly.react(plot, figure.data, layout, { responsive: true, displaylogo: false, showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d"] });
}

function cell(line, text) { const td = document.createElement("td"); td.textContent = text; line.append(td); return td; }

function paintRuns(runs) {
  const body = part("runs");
  body.replaceChildren(...runs.map((run) => {
    const line = document.createElement("tr");
    line.dataset.run = run.name;
    line.dataset.shown = run.name === shown;
    const pick = document.createElement("button");
    pick.type = "button"; pick.textContent = run.name;
    pick.addEventListener("click", () => { chosen = run.name; ask(); });
    cell(line, "").append(pick);
    for (const key of ["state", "model", "dataset", "method", "style", "learning_rate", "steps", "base_loss", "best_loss", "time"]) cell(line, run[key]);
    return line;
  }));
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

function paintRun(run) {
  shown = run.name; paused = run.paused;
  element.dataset.run = run.name; element.dataset.state = run.state; element.dataset.points = run.points; element.dataset.step = run.step;
  part("name").textContent = run.name;
  const pill = part("state"); pill.hidden = false; pill.textContent = run.paused ? "paused" : run.state; pill.dataset.state = run.state;
  const percent = run.total ? Math.round(100 * run.step / run.total) : 0;
  part("bar").style.width = `${percent}%`;
  element.querySelector("[role=progressbar]").setAttribute("aria-valuenow", percent);
  say("progress", run.progress); say("message", run.message); say("warning", run.warning);
  show("pause", run.state === "training"); action("pause").textContent = run.paused ? "Go on" : "Pause";
  show("sooner", run.place > 1); action("stop").textContent = run.place ? "Take out of the queue" : "Stop and keep the best";
  show("stop", run.can_stop); show("resume", run.can_resume); show("discard", !run.can_stop);
  const now = JSON.stringify([run.name, run.points, run.state, run.answers.map((group) => group.answers.length)]);
  if (now === drawn) return;
  drawn = now; figure = run.figure; draw(); paintAnswers(run.answers);
}

async function ask() {
  if (asking || document.hidden || !element.isConnected || element.offsetParent === null) return;
  asking = true;
  try {
    const answer = await server.watch_runs({ run: chosen });
    if (!answer || answer.error) { say("trouble", answer?.error || "Fuata does not answer; is it still running?"); return; }
    say("trouble", "");
    if (answer.run) paintRun(answer.run); else { drawn = ""; element.dataset.state = ""; }
    paintRuns(answer.runs);
  } catch (error) { say("trouble", "Fuata does not answer; is it still running?"); }
  finally { asking = false; }
}

async function act(name) {
  if (name === "pause" && paused) name = "go_on";
  if (!shown || (name === "discard" && !confirm(`Delete the run ${shown}, its models and its curves?`))) return;
  const answer = await server.change_run({ run: shown, action: name });
  if (!answer || answer.error) say("trouble", answer?.error || "Fuata does not answer; is it still running?");
  else if (name === "discard") { chosen = null; shown = null; window.location.reload(); }
  ask();
}

for (const name of ["pause", "sooner", "stop", "resume", "discard"]) action(name).addEventListener("click", () => act(name));
watch("value", () => { try { chosen = JSON.parse(props.value).run; } catch (error) { chosen = null; } ask(); });
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
setInterval(ask, 1000);
ask();
