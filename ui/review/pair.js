// One reviewer's pairs. The page moves on only after the server has said that the verdict is on disk; the next pairs are
// here already, so moving on is instant. All text is set as text, never as markup.
const part = (name) => element.querySelector(`[data-part=${name}]`);
const LONGEST = 50000;                       // more than this lays out slowly; the rest is one press away
const AHEAD = 4;
let who = null, queue = [], current = null, busy = false, skipped = new Set(), done = 0, total = 0, leaving = false, reopened = false, waiting = 0;
window.addEventListener("beforeunload", () => { leaving = true; });

// A page that loads anew (Gradio does so by itself when the app is back) goes on where it stood: whose pairs these are, and a
// verdict that was on its way.
const kept = (name) => { try { return JSON.parse(sessionStorage.getItem(`fuata.${name}`)); } catch (error) { return null; } };
const keep = (name, value) => { try { sessionStorage.setItem(`fuata.${name}`, JSON.stringify(value)); } catch (error) { /* a full or closed store */ } };

function say(text, kind) { const node = part("notice"); node.textContent = text || ""; node.dataset.kind = kind || ""; }

// Control characters, the bidirectional ones too, are shown by their code: invisible text must not decide a verdict.
const visible = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
  (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

function put(name, text) {
  const shown = visible(text);
  part(name).textContent = shown.slice(0, LONGEST) || "(no text)";
  part(name).scrollTop = 0;
  const more = element.querySelector(`[data-more=${name}]`);
  if (more) { more.hidden = shown.length <= LONGEST; more.onclick = () => { part(name).textContent = shown; more.hidden = true; }; }
}

function paint(pair) {
  current = pair;
  reopened = false;
  clearTimeout(waiting);
  const others = Boolean(who) && !pair && done < total;  // all that is left is on other people's screens
  if (others) waiting = setTimeout(() => guarded(advance), 20000);
  part("end").textContent = others ? "The other pairs are on other people's screens just now. This page looks again by itself."
    : "All pairs are judged. The result is under Results.";
  element.dataset.pair = pair ? pair.id : "";
  element.dataset.done = done;
  part("work").hidden = !pair;
  part("finished").hidden = Boolean(pair) || !who || total === 0;
  part("who").textContent = who ? `${who.reviewer} judges ${who.review}` : "";
  part("progress").textContent = total ? `${done} of ${total} judged` : "";
  const percent = total ? Math.round(100 * done / total) : 0;
  part("bar").style.width = `${percent}%`;
  element.querySelector("[role=progressbar]").setAttribute("aria-valuenow", percent);
  part("expected-box").hidden = true;
  part("comment").value = ""; part("correction").value = "";
  for (const button of element.querySelectorAll(".tags button")) button.setAttribute("aria-pressed", "false");
  if (!pair) return;
  put("prompt", pair.prompt); put("a", pair.a); put("b", pair.b); put("expected", pair.expected);
}

async function call(name, question) {
  const answer = await server[name]({ ...who, ...question });
  if (!answer) throw new Error("Fuata does not answer. Is it still running?");
  if (answer.error) throw new Error(answer.error);
  return answer;
}

async function refill() {
  const asked = who, count = AHEAD - queue.length;
  if (count <= 0 && total) return;
  const known = [...(current ? [current.id] : []), ...queue.map((pair) => pair.id)];
  const answer = await call("fetch_pairs", { count, known, skipped: [...skipped] });
  if (asked !== who) return;
  done = answer.done; total = answer.total;
  const here = new Set([...(current ? [current.id] : []), ...queue.map((pair) => pair.id)]);
  queue.push(...answer.pairs.filter((pair) => !here.has(pair.id)));
  if (!part("tags").childElementCount) answer.tags.forEach(addTag);
}

const isOn = (button) => button.getAttribute("aria-pressed") === "true";
const toggle = (button) => button.setAttribute("aria-pressed", String(!isOn(button)));
const markButton = (name) => element.querySelector(`[data-mark=${name}]`);

function addTag(name) {
  const button = document.createElement("button");
  button.type = "button"; button.textContent = name; button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => toggle(button));
  part("tags").append(button);
}

function mark(name, words) {
  if (!current) return;
  toggle(markButton(name));
  say(isOn(markButton(name)) ? words : "Taken off.");
}

async function start() {
  queue = []; current = null; skipped = new Set(); done = 0; total = 0;
  if (!who) { paint(null); return; }
  const sent = kept("verdict");
  try {
    if (sent && JSON.stringify(sent.who) === JSON.stringify(who)) await send(sent.rating);
  } catch (error) { say(error.message, "error"); }
  try { await refill(); paint(queue.shift() ?? null); say(total ? "" : "This review has no pairs yet."); await refill(); }
  catch (error) { paint(null); say(error.message, "error"); }
}

async function guarded(work) {
  if (busy || !who) return;
  busy = true;
  try { await work(); } catch (error) { say(error.message, "error"); } finally { busy = false; }
}

async function advance() {
  if (queue.length === 0) await refill();
  paint(queue.shift() ?? null);
  refill().catch((error) => say(error.message, "error"));
}

async function send(rating) {
  keep("verdict", { who, rating });
  let saved;
  try { saved = await call("save_verdict", rating); }
  catch (error) { if (!leaving) keep("verdict", null); throw new Error(`Not saved. Press the key again. (${error.message})`); }
  keep("verdict", null);
  if (saved.pair !== rating.pair) throw new Error("Not saved. Press the key again.");
  return saved;
}

const vote = (verdict) => guarded(async () => {
  if (!current) return;
  const tags = [...part("tags").children].filter(isOn).map((tag) => tag.textContent);
  const saved = await send({ pair: current.id, verdict, tags, comment: part("comment").value, correction: part("correction").value,
    flagged: isOn(markButton("flagged")), knew: isOn(markButton("knew")) });
  done = saved.done; say("Saved."); current = null;
  await advance();
});

const undo = () => guarded(async () => {
  const answer = await call("undo_verdict", {});
  putBack(answer.pair.id);
  done = answer.done; paint(answer.pair);
  if (answer.rating) show(answer.rating, "The change is taken back"); else say("The last verdict is taken back.");
});

const WORDS = { a: "A better", b: "B better", tie: "Tie", both_bad: "Both bad" };
let listed = [];

const openHistory = () => guarded(async () => {
  listed = [];
  part("verdicts").replaceChildren();
  await listOlder();
  part("history").showModal();
});

async function listOlder() {
  const answer = await call("list_verdicts", { before: listed.at(-1)?.pair ?? 0 });
  listed.push(...answer.verdicts);
  part("older").hidden = !answer.more;
  part("verdicts").append(...answer.verdicts.map((given) => {
    const line = document.createElement("li"), button = document.createElement("button");
    const marks = [WORDS[given.verdict], given.flagged && "flagged", given.knew && "not counted", given.comment && "comment"];
    button.type = "button"; button.dir = "auto";
    button.textContent = `${marks.filter(Boolean).join(", ")}: ${visible(given.prompt)}`;
    button.addEventListener("click", () => { part("history").close(); reopen(given.pair); });
    line.append(button);
    return line;
  }));
  if (!listed.length) part("verdicts").textContent = "You have not judged any pair yet.";
}

const reopen = (pair) => guarded(async () => {
  const answer = await call("open_verdict", { pair });
  putBack(pair);
  paint(answer.pair);
  show(answer.rating, "Reopened");
});

// What is on the screen waits its turn, unless it was judged before or is the pair that comes now.
function putBack(coming) {
  if (current && !reopened) queue.unshift(current);
  queue = queue.filter((waiting) => waiting.id !== coming);
}

function show(rating, words) {
  reopened = true;
  part("comment").value = rating.comment; part("correction").value = rating.correction;
  for (const tag of part("tags").children) if (rating.tags.includes(tag.textContent)) toggle(tag);
  for (const name of ["flagged", "knew"]) if (rating[name]) toggle(markButton(name));
  say(`${words}. Your verdict is: ${WORDS[rating.verdict]}. The next one replaces it.`);
}

const skip = () => guarded(async () => {
  if (!current) return;
  const passed = current, again = reopened;
  if (!again) skipped.add(current.id);
  current = null;
  if (queue.length === 0) { queue = []; }
  await advance();
  if (!current && again) return;
  if (!current) { paint(passed); say("This is the last one left."); } else say("Skipped; it comes back at the end.");
});

function toggleExpected() { if (current) part("expected-box").hidden = !part("expected-box").hidden; }
function toggleDetails() {
  part("details").hidden = !part("details").hidden;
  if (!part("details").hidden) part("comment").focus();
}

const actions = { 1: () => vote("a"), 2: () => vote("b"), 3: () => vote("tie"), 4: () => vote("both_bad"),
  arrowleft: () => vote("a"), arrowright: () => vote("b"), arrowup: () => vote("tie"), arrowdown: () => vote("both_bad"),
  u: undo, s: skip, e: toggleExpected, c: toggleDetails, h: openHistory,
  f: () => mark("flagged", "Flagged: somebody should look at this again."),
  k: () => mark("knew", "Marked as not blind: your verdict will not be counted."), "?": () => part("sheet").showModal() };

document.addEventListener("keydown", (event) => {
  if (!element.isConnected || element.offsetParent === null || part("sheet").open || part("history").open) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  if (event.key === "Escape" && element.contains(event.target) && event.target.matches("textarea")) { event.target.blur(); return; }
  if (event.target.closest?.("input,textarea,select,[contenteditable=true],[role=combobox],[role=tab]")) return;
  const act = actions[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.verdict) vote(button.dataset.verdict);
  if (button.dataset.mark) actions[{ flagged: "f", knew: "k" }[button.dataset.mark]]();
  ({ undo, skip, expected: toggleExpected, comment: toggleDetails, history: openHistory, help: actions["?"] })[button.dataset.action]?.();
});
function opened() { try { const read = JSON.parse(props.value); return read?.review ? read : null; } catch (error) { return null; } }
part("older").addEventListener("click", () => guarded(listOlder));
watch("value", () => { who = opened(); keep("who", who); start(); });
who = opened() ?? kept("who");
start();
