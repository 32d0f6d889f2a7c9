// Countdowns tick by the server's clock. At the end they say so and tell the page with an "expired" event.
(() => {
  const ahead = Date.parse(document.body.dataset.now) - Date.now();
  const CLOSE = 600; // seconds below which the tone warns, as in opsdesk/templatetags/ui.py

  const words = (seconds) => {
    const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
    if (minutes < 1) return `${seconds} s`;
    if (hours < 1) return `${minutes} min`;
    if (days < 1) return minutes % 60 ? `${hours} h ${String(minutes % 60).padStart(2, "0")}` : `${hours} h`;
    return hours % 24 && days < 10 ? `${days} d ${hours % 24} h` : `${days} d`;
  };

  const expire = (element) => {
    element.dataset.expired = "";
    element.querySelector("[data-words]").textContent = element.dataset.over;
    element.dispatchEvent(new CustomEvent("expired", { bubbles: true }));
    const leaving = element.closest("[data-leaves]");
    // A toast goes when its way back is over, but never from under the focus of a person.
    if (leaving && !leaving.contains(document.activeElement)) leaving.remove();
    else element.closest("button")?.setAttribute("disabled", "");
  };

  const tick = () => {
    const now = Date.now() + ahead;
    for (const element of document.querySelectorAll("[data-until]:not([data-expired])")) {
      const until = Date.parse(element.dataset.until);
      const left = Math.max(Math.floor((until - now) / 1000), 0);
      const share = element.dataset.since ? (100 * left * 1000) / (until - Date.parse(element.dataset.since)) : null;
      if (share !== null) element.querySelector(".f").setAttribute("stroke-dasharray", `${Math.round(share)} 100`);
      element.querySelector("[data-words]").textContent = words(left);
      element.classList.toggle("soon", left < CLOSE);
      if (left === 0) expire(element);
    }
  };

  setInterval(tick, 1000);
})();
