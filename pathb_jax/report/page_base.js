"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const views = {};

/* Light and dark: as the system has it, until the switch is used. */
const system = matchMedia("(prefers-color-scheme: dark)");
const stored = () => { try { return localStorage.getItem("pathb-theme"); } catch { return null; } };
function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-pressed", String(theme === "dark"));
}
showTheme(stored() ?? (system.matches ? "dark" : "light"));
system.addEventListener("change", () => { if (!stored()) showTheme(system.matches ? "dark" : "light"); });
byId("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  showTheme(theme);
  try { localStorage.setItem("pathb-theme", theme); } catch { /* it is not kept, then */ }
});

/* Tables: a heading sorts, a search box beside it filters. */
const valueOf = (row, column) => {
  const cell = row.cells[column];
  const value = cell.dataset.value ?? cell.textContent.trim();
  return cell.dataset.value === undefined ? value : value === "" ? null : Number(value);
};
function sortBy(table, column, heading) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => {
    const [x, y] = [valueOf(a, column), valueOf(b, column)];
    if (x === null || y === null) return (x === null) - (y === null); /* missing ones last */
    const order = typeof x === "number" ? x - y : x.localeCompare(y, "en", { numeric: true });
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows);
}
function filterRows(box) {
  const word = box.value.trim().toLowerCase();
  const rows = [...byId(box.dataset.filters).tBodies[0].rows];
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(word);
  byId(box.dataset.count).textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} ${box.dataset.rows}`;
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => sortBy(table, column, heading));
  });
}
for (const box of document.querySelectorAll("input[data-filters]")) {
  box.addEventListener("input", () => filterRows(box));
  filterRows(box);
}

/* Draw every chart of the page, then what the page itself has to do: afterDrawing. */
let afterDrawing = () => {};
function square(element) {
  return Math.max(240, Math.min(640, element.clientWidth));
}
async function draw() {
  for (const element of document.querySelectorAll("[data-chart]")) {
    const name = element.dataset.chart;
    const spec = data.specs[name];
    if ("square" in element.dataset) spec.width = spec.height = square(element);
    const drawn = await vegaEmbed(element, spec, { mode: "vega-lite", renderer: "svg", actions: false, ast: true, logLevel: 1 /* errors */ });
    views[name] = drawn.view;
  }
  afterDrawing();
  document.documentElement.dataset.drawn = "yes";
}
addEventListener("resize", () => {
  for (const element of document.querySelectorAll("[data-square]")) {
    views[element.dataset.chart]?.width(square(element)).height(square(element)).run();
  }
});
