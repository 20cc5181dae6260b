"use strict";

// A header's button sorts its table: upwards, and downwards when it is used again.

const FACTORS = { k: 1e3, M: 1e6, G: 1e9 };

// The figure that a cell begins with: "12.3 ± 0.4", "1,024.0", "+0.9 (untrained)", "3.4 G"; null where it is words.
function figure(text) {
  const found = /^([+-]?[\d,]*\.?\d+)(?: ([kMG]))?(?:$|[ %])/.exec(text);
  return found && parseFloat(found[1].replaceAll(",", "")) * (FACTORS[found[2]] ?? 1);
}

// Figures stand first, then words; what is missing stands last in either direction.
function keyOf(row, column) {
  const text = row.cells[column].textContent.trim();
  const value = figure(text);
  return { row, text, value, rank: text === "" || text === "–" ? 2 : value === null ? 1 : 0 };
}

function sort(table, column, sign) {
  const keys = [...table.tBodies[0].rows].map((row) => keyOf(row, column));
  keys.sort(
    (a, b) => a.rank - b.rank || sign * (a.rank === 0 ? a.value - b.value : a.text.localeCompare(b.text, "en")),
  );
  table.tBodies[0].append(...keys.map((key) => key.row));
}

function addButton(table, header) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  header.append(button);
  button.addEventListener("click", () => {
    const downwards = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", downwards ? "descending" : "ascending");
    sort(table, header.cellIndex, downwards ? -1 : 1);
  });
}

// A row with words in its first cell alone is the title of those below it: sorting would tear them apart.
function hasGroups(table) {
  return [...table.tBodies[0].rows].some((row) => [...row.cells].slice(1).every((cell) => !cell.textContent.trim()));
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies.length && table.tBodies[0].rows.length > 1 && !hasGroups(table)) {
    for (const header of table.tHead.rows[0].cells) addButton(table, header);
  }
}
