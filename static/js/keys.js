// Keys: data-key="a" on a control presses it, j and k walk through data-row, / goes to the search, ? lists the keys of the page.
// They rest in fields, in open dialogs, with modifiers, and where the person switched them off (a cookie).
(() => {
  const root = document.documentElement;
  const TYPING = "input:not([type=radio], [type=checkbox], [type=button], [type=submit]), textarea, select, [contenteditable]";
  const off = () => /(?:^|; )keys=off/.test(document.cookie);
  const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest("[inert]");

  const keyed = () => [...document.querySelectorAll("[data-key]")].filter((element) => !element.disabled && seen(element));

  const walk = (step) => {
    const rows = [...document.querySelectorAll("[data-rows] [data-row]")].filter(seen);
    if (!rows.length) return false;
    const here = rows.findIndex((row) => row === document.activeElement);
    const current = here >= 0 ? here : rows.findIndex((row) => row.matches("[aria-current], [aria-selected=true] *"));
    const row = rows[current < 0 ? 0 : Math.min(Math.max(current + step, 0), rows.length - 1)];
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
    if (row.closest("[data-rows=open]") && rows[current] !== row) row.click();
    return true;
  };

  const press = (key) => {
    const control = keyed().find((element) => element.dataset.key === key);
    control?.click();
    return Boolean(control);
  };

  const words = (element) => {
    if (element.dataset.keyLabel || element.ariaLabel) return element.dataset.keyLabel || element.ariaLabel;
    const copy = element.cloneNode(true);
    copy.querySelectorAll("kbd, svg").forEach((part) => part.remove());
    return copy.textContent.trim().replace(/\s+/g, " ");
  };

  const line = (keys, text) => {
    const [term, meaning] = [document.createElement("dt"), document.createElement("dd")];
    for (const key of keys) {
      const hint = document.createElement("kbd");
      hint.className = "always";
      hint.textContent = key;
      term.append(hint);
    }
    meaning.textContent = text;
    return [term, meaning];
  };

  const help = () => {
    const dialog = document.getElementById("key-help");
    const listed = new Map();
    for (const element of keyed()) if (!listed.has(element.dataset.key)) listed.set(element.dataset.key, words(element));
    const walks = [...document.querySelectorAll("[data-rows] [data-row]")].some(seen);
    if (walks) ["j", "k"].forEach((key) => listed.delete(key));
    const lines = [...listed].flatMap(([key, text]) => line([key], text));
    if (walks) lines.unshift(...line(["j", "k"], "Next, back"));
    lines.push(...line(["/"], "Search"), ...line(["?"], "This list"));
    dialog.querySelector("[data-key-list]").replaceChildren(...lines);
    dialog.showModal();
  };

  const find = () => {
    const field = document.querySelector("[data-find]");
    field?.focus();
    field?.select();
  };

  const show = () => {
    root.dataset.keys = off() ? "off" : "on";
    for (const button of document.querySelectorAll("[data-keys-switch]")) button.textContent = off() ? "Turn the keys on" : "Turn the keys off";
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (off() || event.target.closest(TYPING) || document.querySelector("dialog[open]")) return;
    if (event.key.length !== 1 || (event.shiftKey && /\p{L}/u.test(event.key))) return;
    const key = event.key.toLowerCase();
    const step = { j: 1, k: -1 }[key];
    // A held key may walk, but never decides twice.
    if (event.repeat && !step) return;
    const did = (step && walk(step)) || press(key) || (key === "/" && (find(), true)) || (key === "?" && (help(), true));
    if (did) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-open=key-help]")) help();
    if (!event.target.closest("[data-keys-switch]")) return;
    document.cookie = `keys=off; path=/; max-age=${off() ? 0 : 31536000}; samesite=lax`;
    show();
  });
  show();
})();
