// What htmx leaves to the page: the one voice, focus after a swap, polls that wait their turn, and answers that are no fragment.
(() => {
  const body = document.body;
  const live = document.getElementById("live");
  const tags = new Map(); // address of a polled region → ETag of what it shows
  let lost = null; // the region whose swap takes the focused element away

  document.addEventListener("announce", (event) => {
    const voice = document.getElementById("announcer");
    voice.textContent = "";
    setTimeout(() => { voice.textContent = event.detail.text ?? event.detail.value; }, 60);
  });
  const say = (text) => document.dispatchEvent(new CustomEvent("announce", { detail: { text } }));

  // A poll has no event that caused it. It waits while its region is being typed in, a dialog is open, or nobody looks.
  const polled = (detail) => detail.elt.matches("[data-poll]") && !detail.requestConfig?.triggeringEvent;
  const occupied = (region) =>
    document.hidden || document.querySelector("dialog[open], :popover-open") ||
    (region.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));

  const hold = (held) => {
    if (held) {
      const now = new Date().toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
      for (const place of live.querySelectorAll("[data-live-at]")) place.textContent = now;
    }
    if (!held && !live.classList.contains("lost")) say(live.querySelector(".gone").textContent);
    live.classList.toggle("lost", !held);
  };

  const fault = () => document.getElementById("toasts").replaceChildren(document.getElementById("fault").content.cloneNode(true));

  body.addEventListener("htmx:beforeRequest", (event) => {
    if (polled(event.detail) && occupied(event.detail.elt)) event.preventDefault();
  });
  body.addEventListener("htmx:configRequest", (event) => {
    const tag = tags.get(event.detail.path);
    if (!event.detail.elt.matches("[data-poll]") || event.detail.triggeringEvent) return;
    // A page that refreshes itself shows nobody at the keys: the session's idle time goes on.
    event.detail.headers["Desk-Unattended"] = "1";
    if (tag) event.detail.headers["If-None-Match"] = tag;
  });
  body.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    // Signed out meanwhile: asking for the page again leads to the sign-in and back.
    if (xhr.status === 401) { event.detail.shouldSwap = false; location.reload(); return; }
    if (!polled(event.detail)) tags.clear();
    else if (occupied(event.detail.elt)) event.detail.shouldSwap = false;
    else if (xhr.status === 200) tags.set(event.detail.requestConfig.path, xhr.getResponseHeader("ETag"));
    lost = event.detail.shouldSwap && target.contains(document.activeElement) ? target.id : null;
  });
  // htmx finds the same id again by itself; where that is gone, focus goes to the place the answer names, never to the top.
  body.addEventListener("htmx:afterSettle", () => {
    if (lost === null) return;
    const region = (lost && document.getElementById(lost)) || document;
    lost = null;
    if (document.activeElement !== body) return;
    (region.querySelector("[data-focus-after-swap]") ?? document.getElementById("main"))?.focus({ preventScroll: true });
  });
  body.addEventListener("htmx:afterRequest", (event) => {
    if (!polled(event.detail)) return;
    hold(event.detail.xhr.status > 0 && event.detail.xhr.status < 500);
  });
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    body.addEventListener(name, (event) => { if (!polled(event.detail) && event.detail.xhr.status !== 401) fault(); });
  }
})();
