// The theme: system, light or dark, kept in a cookie. Loaded before the stylesheets, so that no page flashes.
(() => {
  const order = ["system", "light", "dark"];
  const root = document.documentElement;
  const chosen = () => document.cookie.match(/(?:^|; )theme=(light|dark)/)?.[1] ?? "system";

  const show = () => {
    const theme = chosen();
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.setAttribute("aria-label", `Theme: ${theme}`);
      button.title = `Theme: ${theme}`;
    }
  };

  show();
  document.addEventListener("DOMContentLoaded", show);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const next = order[(order.indexOf(chosen()) + 1) % order.length];
    const age = next === "system" ? 0 : 31536000;
    document.cookie = `theme=${next}; path=/; max-age=${age}; samesite=lax`;
    show();
    document.dispatchEvent(new CustomEvent("announce", { detail: { text: `Theme: ${next}` } }));
  });
})();
