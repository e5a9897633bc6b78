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
