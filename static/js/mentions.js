// Names of colleagues complete after “@” in a comment: arrows or Tab choose, Enter takes, Escape leaves. Without scripts one types the name.
(() => {
  const MOST = 6;
  const field = (event) => event.target.closest?.("[data-names-people]");
  const box = (area) => area.parentElement.querySelector("[data-suggestions]");

  const typed = (area) => /(?:^|[^\w@.])@([\w.+-]*)$/.exec(area.value.slice(0, area.selectionStart))?.[1];

  const take = (area, name) => {
    const end = area.selectionStart, start = end - typed(area).length;
    area.setRangeText(`${name} `, start, end, "end");
    box(area).hidden = true;
    area.focus();
  };

  const suggest = (area) => {
    const start = typed(area)?.toLowerCase();
    const fits = (option) => option.value.toLowerCase().startsWith(start) || option.text.toLowerCase().includes(start);
    const people = [...document.getElementById(area.dataset.namesPeople).options];
    const found = start === undefined ? [] : people.filter(fits).slice(0, MOST);
    box(area).replaceChildren(...found.map((option) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", className: "chip", role: "option", textContent: `${option.text} @${option.value}` });
      button.dataset.name = option.value;
      button.addEventListener("click", () => take(area, option.value));
      return button;
    }));
    box(area).hidden = found.length === 0;
  };

  document.addEventListener("input", (event) => field(event) && suggest(field(event)));
  document.addEventListener("keydown", (event) => {
    const area = field(event);
    if (!area || box(area).hidden) return;
    if (event.key === "Escape") box(area).hidden = true;
    else if (event.key === "Enter" || event.key === "Tab") take(area, box(area).firstElementChild.dataset.name);
    else return;
    event.preventDefault();
  });
})();
