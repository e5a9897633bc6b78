"use strict";

// A click on a column's title sorts the rows by it, a second click the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      const sign = rising ? 1 : -1;
      const rows = [...body.rows].sort((a, b) => sign * compare(a.cells[column], b.cells[column]));
      const has = (row) => row.cells[column].dataset.value !== undefined;
      body.append(...rows.filter(has), ...rows.filter((row) => !has(row)));
    });
  });
}

function compare(a, b) {
  const [left, right] = [a.dataset.value ?? "", b.dataset.value ?? ""];
  const difference = Number(left) - Number(right);
  return Number.isNaN(difference) ? left.localeCompare(right) : difference;
}

// A click on a number shows the command behind it, in a bar at the foot of the window.
const behind = document.getElementById("behind");

if (behind) {
  const code = behind.querySelector("code");
  const [copy, close] = behind.querySelectorAll("button");
  let asked = null;
  const shut = () => {
    behind.hidden = true;
    asked?.focus();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-command]");
    if (!button) return;
    asked = button;
    code.textContent = button.dataset.command;
    copy.textContent = "Copy";
    behind.hidden = false;
    copy.focus({ preventScroll: true });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !behind.hidden) shut();
  });
  close.addEventListener("click", shut);
  copy.addEventListener("click", async () => {
    // Selected as well, so that a browser which refuses the clipboard leaves Ctrl-C.
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Selected";
    }
  });
}
