// What the page as a whole needs: the tab that the address asks for, arrow keys on tabs, names that Gradio's file inputs read out rightly,
// and words for what goes wrong in quick events.
(() => {
  // Read before the first tab can write itself into the address, and asked for until it is open or a person chooses another.
  window.fuataTab = new URLSearchParams(location.search).get("tab") || "";
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, () => { window.fuataTab = ""; }, { capture: true });
  // Open a tab from a button elsewhere: through the address, as the browser's own arrows do.
  window.fuataOpen = (name) => {
    const address = new URL(location);
    address.searchParams.set("tab", name);
    history.pushState(null, "", address);
    dispatchEvent(new PopStateEvent("popstate"));
  };
  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("[role=tab]");
    if (!tab || event.ctrlKey || event.metaKey || event.altKey) return;
    const tabs = [...tab.parentElement.querySelectorAll("[role=tab]")];
    const last = tabs.length - 1, here = tabs.indexOf(tab);
    const there = { ArrowRight: here === last ? 0 : here + 1, ArrowLeft: here === 0 ? last : here - 1, Home: 0, End: last }[event.key];
    if (there === undefined) return;
    event.preventDefault();
    tabs[there].click();
    tabs[there].focus();
  });
  const unlabel = () => document.querySelectorAll("button[aria-label*='upload' i]:has(input[type=file]), .upload-container button[aria-label]")
    .forEach((button) => button.removeAttribute("aria-label"));
  new MutationObserver(unlabel).observe(document.documentElement, { childList: true, subtree: true });

  // Gradio shows what goes wrong in an event of its queue; of those past it (QUIET in ui/gradio_events.py) it says nothing.
  const usual = window.fetch;
  window.fetch = async (...asked) => {
    const response = await usual(...asked);
    if (response.status === 500 && response.url.includes("/gradio_api/run/")) response.clone().json().then(tell, () => tell({}));
    return response;
  };
  const shown = new Map(); // sentence to when it goes
  function tell({ error, duration }) {
    const text = error ? new DOMParser().parseFromString(error, "text/html").body.textContent : "Something went wrong in Fuata; its terminal says more.";
    const place = document.getElementById("fuata-notices") || document.body.appendChild(Object.assign(document.createElement("div"), { id: "fuata-notices" }));
    place.setAttribute("role", "alert");
    shown.get(text)?.();
    const notice = document.createElement("div"), close = document.createElement("button");
    notice.className = "fuata-alert";
    notice.append(text, close);
    close.textContent = "×";
    close.setAttribute("aria-label", "Close");
    const timer = setTimeout(() => shown.get(text)?.(), (duration || 12) * 1000);
    shown.set(text, () => { clearTimeout(timer); notice.remove(); shown.delete(text); });
    close.addEventListener("click", () => shown.get(text)?.());
    place.append(notice);
  }
})();
