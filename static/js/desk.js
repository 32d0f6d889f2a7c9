// The review desk: marks the row of the opened case, names the chosen reason in its button, keeps panes where they were scrolled,
// and takes a double click for one.
(() => {
  const body = document.body;
  const kept = new Map(); // name of a pane → how far it was scrolled
  let focused = false; // whether anything had the focus before the swap

  const mark = () => {
    const opened = document.getElementById("opened")?.dataset.case;
    for (const row of document.querySelectorAll("#queue-rows [data-case]")) {
      if (row.dataset.case !== opened) row.removeAttribute("aria-current");
      else if (!row.hasAttribute("aria-current")) {
        row.setAttribute("aria-current", "true");
        row.scrollIntoView({ block: "nearest" });
      }
    }
  };

  body.addEventListener("htmx:beforeSwap", () => {
    kept.clear();
    focused = document.activeElement !== body;
    for (const pane of document.querySelectorAll("[data-keep-scroll]")) kept.set(pane.dataset.keepScroll, pane.scrollTop);
  });
  body.addEventListener("htmx:afterSettle", () => {
    mark();
    for (const pane of document.querySelectorAll("[data-keep-scroll]")) {
      if (kept.has(pane.dataset.keepScroll)) pane.scrollTop = kept.get(pane.dataset.keepScroll);
    }
    // The row that had the focus is gone once its case is decided: the heading of the next case takes it.
    if (focused && document.activeElement === body) document.querySelector("#opened [data-focus-after-swap]")?.focus({ preventScroll: true });
  });

  document.addEventListener("change", (event) => {
    const reasons = event.target.closest("[data-names]");
    if (!reasons) return;
    for (const place of document.querySelectorAll(`[data-named="${reasons.dataset.names}"]`)) place.textContent = event.target.dataset.keyLabel;
  });
  document.addEventListener("click", (event) => {
    if (event.detail > 1 && event.target.closest("[data-decides]")) event.preventDefault();
  }, true);

  mark();
})();
