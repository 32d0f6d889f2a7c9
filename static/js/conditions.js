// Conditions in the admin: offers the operators that fit the chosen fact, and only the fields that the operator takes.
// Without this file every row still works as it is; the server refuses what does not fit.
(() => {
  const part = (row, name) => row.querySelector(`[data-${name}]`);

  const fit = (row) => {
    const type = part(row, "fact").selectedOptions[0]?.dataset.type || "";
    const operator = part(row, "operator");
    for (const option of operator.options) {
      const fits = !option.value || !type || option.dataset.types.split(" ").includes(type);
      option.hidden = option.disabled = !fits;
    }
    if (operator.selectedOptions[0]?.disabled) operator.value = "";
    const chosen = operator.selectedOptions[0];
    const bare = type === "flag" || (chosen && "bare" in chosen.dataset);
    const value = part(row, "value"), currency = part(row, "currency");
    value.hidden = bare;
    currency.hidden = bare || type !== "money";
    if (value.hidden) value.value = "";
    if (currency.hidden) currency.value = "";
    value.rows = operator.value === "one_of" ? 4 : 1;
    value.inputMode = { money: "decimal", ratio: "decimal", count: "numeric", days: "numeric" }[type] || "text";
    const written = row.parentElement.querySelector(`[data-written="${type}"]`);
    part(row, "hint").textContent = written && !bare ? written.content.textContent : "";
  };

  // The conditions in words while they are edited, as workflows/rules.py reads them back once they are saved.
  const said = (row) => {
    const fact = part(row, "fact").selectedOptions[0], operator = part(row, "operator").selectedOptions[0];
    if (!fact?.value || !operator?.value) return "";
    const value = part(row, "value").value.trim().split(/\n+/).join(", ");
    const typed = operator.value === "matches" ? `“${value}”` : value;
    const tail = { money: ` ${part(row, "currency").value.toUpperCase()}`, days: " days" }[fact.dataset.type] || "";
    return `${fact.dataset.label} ${operator.textContent}${"bare" in operator.dataset ? "" : ` ${typed}${tail}`}`;
  };

  const tell = (box) => {
    const form = box.closest("form");
    const match = form.elements[part(box, "count").name.replace(/\w+-rows$/, "match")];
    const joint = match?.value === "any" ? " or " : " and ";
    part(box, "said").textContent = [...box.querySelectorAll("[data-condition]")].map(said).filter(Boolean).join(joint);
  };

  const isBlank = (row) => !part(row, "fact").value && !part(row, "operator").value && !part(row, "value").value;

  const number = (box) => {
    box.querySelectorAll("[data-condition]").forEach((row, index) => {
      for (const field of row.querySelectorAll("[name]")) {
        field.name = field.name.replace(/-\d+-(\w+)$/, `-${index}-$1`);
        field.setAttribute("aria-label", field.getAttribute("aria-label").replace(/\d+$/, index + 1));
      }
    });
    part(box, "count").value = box.querySelectorAll("[data-condition]").length;
  };

  const begin = (box) => {
    const rows = [...box.querySelectorAll("[data-condition]")];
    // One empty row is enough where more can be asked for.
    rows.filter(isBlank).slice(1).forEach((row) => row.remove());
    number(box);
    box.querySelectorAll("[data-condition]").forEach(fit);
    part(box, "more").hidden = false;
    tell(box);
  };

  document.addEventListener("change", (event) => {
    const row = event.target.closest("[data-condition]");
    if (row) fit(row);
  });
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form");
    form?.querySelectorAll("[data-conditions]").forEach((box) => box.closest(".empty-form") || tell(box));
  });
  document.addEventListener("click", (event) => {
    if (!event.target.matches("[data-more]")) return;
    const box = event.target.closest("[data-conditions]");
    const rows = box.querySelectorAll("[data-condition]"), last = rows[rows.length - 1];
    const row = last.cloneNode(true);
    for (const field of row.querySelectorAll("select, textarea, input")) field.value = "";
    last.after(row);
    number(box);
    fit(row);
    part(row, "fact").focus();
  });
  document.addEventListener("formset:added", (event) => event.target.querySelectorAll("[data-conditions]").forEach(begin));
  document.querySelectorAll("[data-conditions]").forEach((box) => {
    if (!box.closest(".empty-form")) begin(box);
  });
})();
