"use strict";

// Columns of tables: a click on a heading sorts by it, a second click the other way round. Cells
// have their number as data; an absent one comes last in both directions.
for (const table of document.querySelectorAll(".table table")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.ariaSort = "none";
    const numeric = heading.classList.contains("number");
    const key = (row) => {
      const cell = row.cells[column];
      return numeric ? Number(cell.dataset.value ?? NaN) : cell.textContent.trim();
    };
    const compare = (x, y) => {
      if (!numeric) return x.localeCompare(y, "en", { numeric: true });
      return Number.isNaN(x) || Number.isNaN(y) ? 0 : x - y;
    };
    button.addEventListener("click", () => {
      // Numbers begin with the largest, words with the first of the alphabet.
      const first = numeric ? "descending" : "ascending";
      const second = numeric ? "ascending" : "descending";
      const order = heading.ariaSort === first ? second : first;
      for (const other of headings) other.ariaSort = "none";
      heading.ariaSort = order;
      const sign = order === "ascending" ? 1 : -1;
      const rows = Array.from(body.rows, (row) => ({ row, value: key(row) }));
      const absent = ({ value }) => Number(Number.isNaN(value));
      rows.sort((x, y) => absent(x) - absent(y) || sign * compare(x.value, y.value));
      body.append(...rows.map(({ row }) => row));
    });
  });
}

// Escape hides the words of a point that has the focus or the pointer, without leaving it.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const point of document.querySelectorAll(".point:hover, .point:focus")) {
    point.classList.add("quiet");
    const again = () => point.classList.remove("quiet");
    for (const left of ["blur", "pointerleave"]) point.addEventListener(left, again, { once: true });
  }
});
