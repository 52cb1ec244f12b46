// @ts-check
// What the page as a whole needs: the tab that the address asks for, arrow keys on tabs, names that
// Gradio's file inputs read out rightly, and words for what goes wrong in quick events. Runs before
// Gradio does.

import { make, makeButton } from "./lib/dom.js";

const FIRST_TAB = "data";
const TAB_SETTLES_MS = 60; // on a busy machine the first tab tells of itself after a later one
const ASK_AGAIN_MS = 300;
const MOST_ASKED = 30;
const NOTICE_S = 12;
const MISLABELLED =
  "button[aria-label*='upload' i]:has(input[type=file]), .upload-container button[aria-label]";

// The tab that the address asked for before the first tab could write itself into it; "" once it is
// open or a person chooses another.
let wanted = tabOfAddress();
/** @type {Map<string, () => void>} a notice's sentence to what takes it away */
const notices = new Map();
/** @type {Map<string, number>} a notice's sentence to when somebody closed it, in ms */
const closed = new Map();
/** When the person last did something beside the notices, in ms of the page. */
let actedAt = 0;

/** The tab that the address names, or "". */
function tabOfAddress() {
  return new URLSearchParams(location.search).get("tab") || "";
}

/** @param {string} name */
const isOpen = (name) => Boolean(document.getElementById(`tab-${name}`)?.offsetParent);

/** @param {string} name */
function pushTab(name) {
  const address = new URL(location.href);
  address.searchParams.set("tab", name);
  history.pushState(null, "", address);
}

// Open a tab from a button elsewhere: through the address, as the browser's own arrows do.
window.fuataOpen = (name) => {
  pushTab(name);
  dispatchEvent(new PopStateEvent("popstate"));
};

window.fuataAskedTab = () => wanted || tabOfAddress() || FIRST_TAB;

// Put a tab's name into the address, if that tab is the one shown a moment later.
window.fuataWriteTab = (name) => {
  setTimeout(() => {
    if (isOpen(name) && (tabOfAddress() || FIRST_TAB) !== name) pushTab(name);
  }, TAB_SETTLES_MS);
};

window.fuataWatchAddress = (navigate) => {
  addEventListener("popstate", navigate);
  let asked = 0;
  const open = () => {
    if (!wanted || isOpen(wanted) || asked++ === MOST_ASKED) {
      wanted = "";
      return;
    }
    navigate();
    setTimeout(open, ASK_AGAIN_MS); // an update that comes before the tabs are ready is lost
  };
  open();
};

/** @param {KeyboardEvent} event */
function moveBetweenTabs(event) {
  const tab = /** @type {HTMLElement} */ (event.target).closest?.("[role=tab]");
  if (!tab?.parentElement || event.ctrlKey || event.metaKey || event.altKey) return;
  const tabs = /** @type {HTMLElement[]} */ ([...tab.parentElement.querySelectorAll("[role=tab]")]);
  const last = tabs.length - 1;
  const here = tabs.indexOf(tab);
  /** @type {Record<string, number>} */
  const targets = {
    ArrowRight: here === last ? 0 : here + 1,
    ArrowLeft: here === 0 ? last : here - 1,
    Home: 0,
    End: last,
  };
  const there = targets[event.key];
  if (there === undefined) return;
  event.preventDefault();
  tabs[there].click();
  tabs[there].focus();
}

// Gradio names these buttons otherwise than their words do.
function removeLabels() {
  for (const button of document.querySelectorAll(MISLABELLED)) button.removeAttribute("aria-label");
}

// Show what went wrong, in a notice that goes by itself. One that somebody closed stays away until
// they do something else: several events, one after the other, may ask for one choice.
window.fuataTell = ({ error, duration = NOTICE_S }, askedAt = performance.now()) => {
  const text = error
    ? (new DOMParser().parseFromString(error, "text/html").body.textContent ?? "")
    : "Something went wrong in Fuata; its terminal says more.";
  if (Math.min(askedAt, actedAt) < (closed.get(text) ?? 0)) return;
  notices.get(text)?.();
  const notice = make("div", text, "fuata-alert");
  const close = makeButton("×");
  const timer = setTimeout(() => notices.get(text)?.(), duration * 1000);
  notices.set(text, () => {
    clearTimeout(timer);
    notice.remove();
    notices.delete(text);
  });
  close.setAttribute("aria-label", "Close");
  close.addEventListener("click", () => {
    closed.set(text, performance.now());
    notices.get(text)?.();
  });
  notice.append(close);
  placeOfNotices().append(notice);
};

/** @param {Event} event */
function noteAction(event) {
  if (!placeOfNotices().contains(/** @type {Node} */ (event.target))) actedAt = performance.now();
}

function placeOfNotices() {
  const found = document.getElementById("fuata-notices");
  if (found) return found;
  const place = make("div");
  place.id = "fuata-notices";
  place.setAttribute("role", "alert");
  document.body.append(place);
  return place;
}

// Gradio shows what goes wrong in an event of its queue; of those past it (QUIET in
// ui/gradio_events.py) it says nothing, and the sentence stands in the answer alone. So answers are
// looked at where they come in: Gradio has no event for it, and nothing else sees their bodies.
const usualFetch = window.fetch;
window.fetch = async (...asked) => {
  const askedAt = performance.now();
  const response = await usualFetch(...asked);
  if (response.status === 500 && response.url.includes("/gradio_api/run/"))
    response
      .clone()
      .json()
      .then(
        (told) => window.fuataTell(told, askedAt),
        () => window.fuataTell({}, askedAt),
      );
  return response;
};

for (const kind of ["pointerdown", "keydown"])
  document.addEventListener(kind, () => (wanted = ""), { capture: true });
for (const kind of ["pointerdown", "keydown", "input"])
  document.addEventListener(kind, noteAction, { capture: true });
document.addEventListener("keydown", moveBetweenTabs);
new MutationObserver(removeLabels).observe(document.documentElement, {
  childList: true,
  subtree: true,
});
