// What the page as a whole needs: the tab that the address asks for, arrow keys on tabs, and names that Gradio's file inputs read out rightly.
(() => {
  // Read before the first tab can write itself into the address, and asked for until it is open or a person chooses another.
  window.fuataTab = new URLSearchParams(location.search).get("tab") || "";
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, () => { window.fuataTab = ""; }, { capture: true });
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
})();
