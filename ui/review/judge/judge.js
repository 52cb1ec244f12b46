// One reviewer's pairs. The page moves on only after the server has said that the verdict is on disk; the next pairs are
// here already, so moving on is instant. All text is set as text, never as markup.
const part = (name) => element.querySelector(`[data-part=${name}]`);
const AHEAD = 4;
let who = null, queue = [], current = null, busy = false, skipped = new Set(), done = 0, total = 0, leaving = false, reopened = false, waiting = 0;
window.addEventListener("beforeunload", () => { leaving = true; });

// A page that loads anew (Gradio does so by itself when the app is back) goes on where it stood: whose pairs these are, and a
// verdict that was on its way.
const kept = (name) => { try { return JSON.parse(sessionStorage.getItem(`fuata.${name}`)); } catch (error) { return null; } };
const keep = (name, value) => { try { sessionStorage.setItem(`fuata.${name}`, JSON.stringify(value)); } catch (error) { /* a full or closed store */ } };
// What outlives the window: how this person likes to see answers.
const remembered = (name) => { try { return JSON.parse(localStorage.getItem(`fuata.${name}`)); } catch (error) { return null; } };
const remember = (name, value) => { try { localStorage.setItem(`fuata.${name}`, JSON.stringify(value)); } catch (error) { /* likewise */ } };

function say(text, kind) { const node = part("notice"); node.textContent = text || ""; node.dataset.kind = kind || ""; }

function put(name, text) {
  const shown = visible(text).replace(/^(\s*\n)+/, "").trimEnd();  // blank lines around a text say nothing but who wrote it
  part(name).textContent = shown.slice(0, LONGEST) || "(no text)";
  part(name).scrollTop = 0;
  const more = element.querySelector(`[data-more=${name}]`);
  if (more) { more.hidden = shown.length <= LONGEST; more.onclick = () => { part(name).textContent = shown; more.hidden = true; }; }
}

function paint(pair) {
  const moves = pair && pair.id !== current?.id;
  current = pair;
  reopened = false;
  clearInterval(waiting);
  const others = Boolean(who) && !pair && !who.adjudicates && done < total;  // all that is left is on other people's screens
  if (others) waiting = setInterval(() => guarded(advance), 20000);
  part("end").textContent = others ? "The other pairs are on other people's screens just now. This page looks again by itself."
    : who?.adjudicates ? "There is no disagreement left that you could settle."
      : `All ${total} are judged.`;
  for (const button of element.querySelectorAll("[data-action=results]")) button.hidden = others || !document.getElementById("tab-results");
  element.dataset.pair = pair ? pair.id : "";
  element.dataset.done = done;
  part("work").hidden = !pair;
  part("finished").hidden = Boolean(pair) || !who || (total === 0 && !who.adjudicates);
  part("who").textContent = who ? `${who.reviewer} ${who.adjudicates ? "settles" : "judges"} ${who.review}` : "";
  part("progress").textContent = total ? `${done} of ${total} judged` : "";
  part("left").textContent = timeLeft();
  const percent = total ? Math.round(100 * done / total) : 0;
  part("bar").style.width = `${percent}%`;
  element.querySelector("[role=progressbar]").setAttribute("aria-valuenow", percent);
  part("expected-box").hidden = true;
  part("comment").value = ""; part("correction").value = "";
  for (const side of ["a", "b"]) giveStars(side, 0);
  for (const button of element.querySelectorAll(".said button, .marks button")) button.setAttribute("aria-pressed", "false");
  part("leak").textContent = "";
  if (!pair) { showPeople().catch(() => {}); return; }
  seen = new Set();
  put("prompt", pair.prompt); put("expected", pair.expected);
  showKind(pair.response_mode);
  showAnswers();
  if (moves) scrollToPair();
  look();
  part("leak").textContent = ["a", "b"].filter((side) => pair.named[side]).map((side) => `${side.toUpperCase()} names a model (“${visible(pair.named[side])}”). `)
    .join("") + (pair.named.a || pair.named.b ? "Judge the answer; if you know now which is which, press K." : "");
}

// Which responses were on the screen, at least their first lines: a verdict on one that nobody has seen is none.
let seen = new Set();
const BAR = 90;                              // the height of the buttons that stay at the foot of a narrow screen, in pixels

function look() {
  for (const side of current ? ["a", "b"] : []) {
    const { top, bottom } = part(side).getBoundingClientRect();
    if (bottom > 0 && top < innerHeight - BAR) seen.add(side);
  }
}
for (const event of ["scroll", "resize"]) window.addEventListener(event, look, { capture: true, passive: true });

function unseen() {
  look();
  const sides = current?.response_mode === "pairs" ? ["a", "b"] : ["a"];
  return sides.find((side) => !seen.has(side));
}

// One response or two, and the buttons that go with them.
function showKind(mode) {
  const single = mode !== "pairs";
  element.querySelector(".sides").classList.toggle("single", single);
  part("other").hidden = single;
  part("heading").textContent = single ? "Response" : "A";
  for (const name of ["scroll", "differences"]) element.querySelector(`[data-view=${name}]`).hidden = single;
  for (const group of element.querySelectorAll("[data-answers]")) group.hidden = group.dataset.answers !== mode;
}

// The two responses in the way this person wants to see them; remembered by the browser.
let view = { scroll: true, ...remembered("view") };
const VIEWS = { scroll: "The two scroll together.", differences: "Words that only one answer has are marked.",
  markdown: "Markdown is rendered; links and pictures stay text." };

function showAnswers() {
  for (const name of Object.keys(VIEWS)) element.querySelector(`[data-view=${name}]`).setAttribute("aria-pressed", String(Boolean(view[name])));
  if (!current) return;
  put("a", current.a); put("b", current.b);
  const both = view.differences && current.response_mode === "pairs" ? marked(visible(current.a).trim(), visible(current.b).trim()) : null;
  const short = current.a.length + current.b.length <= LONGEST;
  ["a", "b"].forEach((side, which) => {
    if (both && short) part(side).replaceChildren(both[which]);
    else if (view.markdown && current.rendered[side]) part(side).replaceChildren(rendered(current.rendered[side]));
    part(side).classList.toggle("rendered", Boolean(view.markdown && current.rendered[side]));
  });
}

function switchView(name) {
  if (current && current.response_mode !== "pairs" && name !== "markdown") return;  // one response has nothing to differ from
  view = { ...view, [name]: !view[name] };
  if (view[name] && name === "differences") view.markdown = false;
  if (view[name] && name === "markdown") view.differences = false;
  remember("view", view);
  showAnswers();
  say(view[name] ? VIEWS[name] : "Switched off.");
}

let leading = null;                          // the side whose scrolling the other follows
for (const [side, other] of [["a", "b"], ["b", "a"]]) {
  for (const event of ["pointerenter", "focus", "touchstart", "wheel"]) part(side).addEventListener(event, () => { leading = side; }, { passive: true });
  part(side).addEventListener("scroll", () => {
    if (!view.scroll || leading !== side) return;
    const one = part(side), two = part(other), room = one.scrollHeight - one.clientHeight;
    if (room > 0) two.scrollTop = one.scrollTop / room * (two.scrollHeight - two.clientHeight);
  });
}

// The median of the latest verdicts' seconds, times what is left; breaks are not counted.
let seconds = [], shownAt = 0;
const PAUSE = 300, LATEST = 15, ENOUGH = 3;

function timeLeft() {
  const spent = (performance.now() - shownAt) / 1000;
  if (shownAt && spent < PAUSE && current) seconds = [...seconds, spent].slice(-LATEST);
  shownAt = performance.now();
  if (seconds.length < ENOUGH || done >= total) return "";
  const middle = [...seconds].sort((one, other) => one - other)[Math.floor(seconds.length / 2)];
  const minutes = Math.ceil(middle * (total - done) / 60);
  return minutes < 60 ? `about ${minutes} min left` : `about ${Math.ceil(minutes / 60)} h left`;
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
  showRubric(answer.rubric);
  if (!saidOf("a", "tags").childElementCount) for (const side of ["a", "b"]) addRemarks(side, answer.tags, answer.stars);
}

function showRubric(rubric) {
  part("rubric-box").hidden = !rubric.text;
  part("rubric-name").textContent = visible(rubric.name);
  part("rubric").textContent = visible(rubric.text);
}

const isOn = (button) => button.getAttribute("aria-pressed") === "true";
const toggle = (button) => button.setAttribute("aria-pressed", String(!isOn(button)));
const markButton = (name) => element.querySelector(`[data-mark=${name}]`);

const saidOf = (side, what) => element.querySelector(`[data-said=${side}] .${what}`);

function addRemarks(side, tags, most) {
  const stars = saidOf(side, "stars");
  for (let number = 1; number <= most; number++) {
    const button = aButton("★");
    button.setAttribute("aria-label", `${side.toUpperCase()}: ${number} of ${most} stars`);
    button.addEventListener("click", () => giveStars(side, isOn(button) ? 0 : number));
    stars.append(button);
  }
  for (const name of tags) {
    const button = aButton(name);
    button.addEventListener("click", () => toggle(button));
    saidOf(side, "tags").append(button);
  }
}

for (let number = 1; number <= 5; number++) {
  const button = aButton(`${number} ★`), key = document.createElement("kbd");
  button.dataset.verdict = "stars"; button.dataset.stars = number; button.removeAttribute("aria-pressed");
  key.textContent = number;
  button.append(" ", key);
  element.querySelector("[data-answers=stars]").append(button);
}

function aButton(text) {
  const button = document.createElement("button");
  button.type = "button"; button.textContent = text; button.setAttribute("aria-pressed", "false");
  return button;
}

function giveStars(side, given) {
  [...saidOf(side, "stars").children].forEach((star, at) => {
    star.setAttribute("aria-pressed", String(at + 1 === given));
    star.classList.toggle("lit", at < given);
  });
}

const remarks = (side) => ({
  stars: [...saidOf(side, "stars").children].findIndex(isOn) + 1 || null,
  tags: [...saidOf(side, "tags").children].filter(isOn).map((tag) => tag.textContent),
});

function mark(name, words) {
  if (!current) return;
  toggle(markButton(name));
  say(isOn(markButton(name)) ? words : "Taken off.");
}

// How far everybody is, now and then, while the screen is looked at; how they judged stays hidden.
async function showPeople() {
  const asked = who;
  if (!who || element.offsetParent === null || document.hidden) return;
  const answer = await server.list_people({ review: who.review });
  if (asked !== who || !answer || answer.error) return;
  part("people").textContent = answer.people.length ? `${answer.people.map((person) => `${visible(person.name)} ${person.judged}`).join(", ")}: `
    + `${answer.ratings} ${answer.ratings === 1 ? "rating" : "ratings"} of ${answer.pairs} ${answer.response_mode === "pairs" ? "pairs" : "responses"}` : "";
}
setInterval(() => { if (element.isConnected) showPeople().catch(() => {}); }, 10000);

async function start() {
  queue = []; current = null; skipped = new Set(); done = 0; total = 0;
  if (!who) { paint(null); return; }
  const sent = kept("verdict");
  try {
    if (sent && JSON.stringify(sent.who) === JSON.stringify(who)) await send(sent.rating);
  } catch (error) { say(error.message, "error"); }
  part("people").textContent = "";
  showPeople().catch(() => {});
  try { await refill(); paint(queue.shift() ?? null); say(total || who.adjudicates ? "" : "This review has no pairs yet."); await refill(); }
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

const vote = (verdict, stars) => guarded(async () => {
  if (!current) return;
  const side = unseen();
  if (side) {
    part(side).scrollIntoView({ block: "center", behavior: "smooth" });
    say(`Read response ${side.toUpperCase()} first.`, "error");
    return;
  }
  const a = stars ? { ...remarks("a"), stars } : remarks("a");
  const saved = await send({ pair: current.id, changes: reopened, verdict, a, b: remarks("b"), comment: part("comment").value, correction: part("correction").value,
    flagged: isOn(markButton("flagged")), unblinded: isOn(markButton("unblinded")) });
  done = saved.done; total = saved.total; say("Saved."); current = null;
  await advance();
});

const undo = () => guarded(async () => {
  const answer = await call("undo_verdict", {});
  putBack(answer.pair.id);
  done = answer.done; paint(answer.pair);
  if (answer.rating) show(answer.rating, "The change is taken back"); else say("The last verdict is taken back.");
});

const WORDS = { a: "A better", b: "B better", tie: "Tie", both_bad: "Both bad", pass: "Pass", fail: "Fail" };
const inWords = (verdict, stars) => WORDS[verdict] ?? `${stars} ${stars === 1 ? "star" : "stars"}`;
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
    const marks = [inWords(given.verdict, given.stars), given.flagged && "flagged", given.unblinded && "not counted", given.comment && "comment"];
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
  for (const side of ["a", "b"]) {
    giveStars(side, rating[side].stars ?? 0);
    for (const tag of saidOf(side, "tags").children) if (rating[side].tags.includes(tag.textContent)) toggle(tag);
  }
  for (const name of ["flagged", "unblinded"]) if (rating[name]) toggle(markButton(name));
  say(`${words}. Your verdict is: ${inWords(rating.verdict, rating.a.stars)}. The next one replaces it.`);
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

// A pair begins at its top: on a phone the one before may have been scrolled far down.
function scrollToPair() {
  const top = element.querySelector("section").getBoundingClientRect().top;
  if (top < 0 || matchMedia("(max-width: 640px)").matches) element.querySelector("section").scrollIntoView({ block: "start" });
}

function toggleExpected() { if (current && !current.expected) say("The expected answer of this pair is not shown: it would tell whose a response is."); else if (current) part("expected-box").hidden = !part("expected-box").hidden; }
function toggleRubric() { part("rubric-box").open = !part("rubric-box").open; }
function toggleDetails() {
  part("details").hidden = !part("details").hidden;
  for (const said of element.querySelectorAll(".said")) said.hidden = part("details").hidden;
  if (!part("details").hidden) part("comment").focus();
}

// What the keys of verdicts mean depends on what is judged.
const VERDICTS = {
  pairs: { 1: "a", 2: "b", 3: "tie", 4: "both_bad", arrowleft: "a", arrowright: "b", arrowup: "tie", arrowdown: "both_bad" },
  pass: { 1: "pass", 2: "fail", arrowup: "pass", arrowdown: "fail" },
  stars: { 1: 1, 2: 2, 3: 3, 4: 4, 5: 5 },
};
function voteByKey(key) {
  const meant = VERDICTS[current?.response_mode ?? "pairs"][key];
  if (meant) vote(typeof meant === "number" ? "stars" : meant, typeof meant === "number" ? meant : null);
  return Boolean(meant);
}

const actions = {
  l: () => switchView("scroll"), d: () => switchView("differences"), m: () => switchView("markdown"), r: toggleRubric,
  u: undo, s: skip, e: toggleExpected, c: toggleDetails, h: openHistory,
  f: () => mark("flagged", "Flagged: somebody should look at this again."),
  k: () => mark("unblinded", "Marked as not blind: your verdict will not be counted."), "?": () => part("sheet").showModal() };

document.addEventListener("keydown", (event) => {
  if (!element.isConnected || element.offsetParent === null || part("sheet").open || part("history").open) return;
  if (event.key === "Enter" && event.target.closest?.("#reviewer")) setTimeout(() => element.querySelector("section").focus());
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  if (event.key === "Escape" && element.contains(event.target) && event.target.matches("textarea")) { event.target.blur(); return; }
  if (event.target.closest?.("input,textarea,select,[contenteditable=true],[role=combobox],[role=tab]")) return;
  if (voteByKey(event.key.toLowerCase())) { event.preventDefault(); return; }
  const act = actions[event.key.toLowerCase()];
  if (act) { event.preventDefault(); act(); }
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.verdict) vote(button.dataset.verdict, Number(button.dataset.stars) || null);
  if (button.dataset.view) switchView(button.dataset.view);
  if (button.dataset.mark) actions[{ flagged: "f", unblinded: "k" }[button.dataset.mark]]();
  ({ undo, skip, expected: toggleExpected, comment: toggleDetails, history: openHistory, help: actions["?"], results: () => window.fuataOpen("results") })[button.dataset.action]?.();
});
function opened() { try { const read = JSON.parse(props.value); return read?.review ? read : null; } catch (error) { return null; } }
part("older").addEventListener("click", () => guarded(listOlder));
// The keys are to judge at once, not to go on writing into the field of the name.
watch("value", () => { who = opened(); keep("who", who); element.querySelector("section").focus(); start(); });
who = opened() ?? kept("who");
start();
