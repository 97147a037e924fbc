"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const checked = (name) => [...document.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);
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

/* Curves */
const text = (value) => {
  if (value === null || value === undefined) return "-";
  return value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < 1000) ? value.toFixed(3) : value.toPrecision(4);
};
function chosen() {
  const groups = new Set(checked("group"));
  const seeds = new Set(checked("seed"));
  const anySeed = document.querySelector("input[name=seed]") === null;
  return data.runs
    .map((run, place) => ({ ...run, place: String(place) }))
    .filter((run) => groups.has(run.group) && (anySeed || run.seed === null || seeds.has(String(run.seed))));
}
function rowsOf(run, chart) {
  const look = { run: run.name, colour: run.colour, width: run.first ? 2.2 : 1.1, dash: run.kind === "candidate" ? [1, 0] : [6, 3] };
  if (chart === "success") return (data.along[run.place] ?? []).map((row) => ({ ...row, ...look }));
  if (checked("span")[0] === "judged") {
    const rows = data.curves.judged[run.place];
    if (!rows) return [];
    return rows.update.map((update, i) => ({ update, mean: rows[chart][i], low: rows[chart][i], high: rows[chart][i], ...look }));
  }
  const bins = data.curves.whole[run.place]?.[chart];
  if (!bins) return [];
  return data.curves.bins
    .map((update, i) => ({ update, mean: bins.mean[i], low: bins.low[i], high: bins.high[i], ...look }))
    .filter((row) => row.mean !== null);
}
function drawCurves() {
  const runs = chosen();
  for (const [chart, view] of Object.entries(views)) {
    if (chart === "episodes") continue;
    view.data("rows", runs.flatMap((run) => rowsOf(run, chart))).run();
  }
  const rise = byId("rise");
  if (rise) rise.hidden = checked("span")[0] !== "judged";
  read();
}
function read() {
  const slider = byId("at");
  if (!slider) return;
  const bin = Number(slider.value);
  const update = data.curves.bins[bin];
  const from = bin ? data.curves.bins[bin - 1] + 1 : 1;
  const words = from === update ? String(update) : `${from} to ${update}`;
  byId("at-update").textContent = words;
  slider.setAttribute("aria-valuetext", `update ${words}`);
  const body = byId("reading").tBodies[0];
  body.replaceChildren(...chosen().map((run) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = run.colour;
    head.append(swatch, run.name);
    row.append(head);
    for (const metric of data.metrics) {
      const bins = data.curves.whole[run.place]?.[metric];
      const cell = document.createElement("td");
      cell.textContent = bins ? text(bins.mean[bin]) : "-";
      row.append(cell);
    }
    return row;
  }));
  for (const [chart, view] of Object.entries(views)) {
    if (chart !== "episodes") view.signal("at", update).run();
  }
}
byId("choice")?.addEventListener("change", drawCurves);
byId("choice")?.addEventListener("submit", (event) => event.preventDefault());
byId("at")?.addEventListener("input", read);

/* Episodes */
const field = data.field;
function circle(name, x, y, radius) {
  return Array.from({ length: 65 }, (_, i) => ({
    ring: name, order: i, ring_x: x + radius * Math.cos((2 * Math.PI * i) / 64), ring_y: y + radius * Math.sin((2 * Math.PI * i) / 64),
  }));
}
function rings(centred) {
  if (centred) {
    return [circle("held", 0, 0, field.success_radius), circle("one", 0, 0, field.signature_sigma), circle("two", 0, 0, 2 * field.signature_sigma)].flat();
  }
  const h = field.half_width;
  const arena = [[-h, -h], [h, -h], [h, h], [-h, h], [-h, -h]];
  return [
    ...arena.map(([x, y], i) => ({ ring: "arena", order: i, ring_x: x, ring_y: y })),
    ...circle("basin", ...field.basin, field.basin_sigma),
  ];
}
function fillSets() {
  const sets = Object.keys(data.episodes.ends[byId("episode-run").value] ?? {});
  const before = byId("episode-set").value;
  byId("episode-set").replaceChildren(...sets.map((start) => new Option(start, start)));
  if (sets.includes(before)) byId("episode-set").value = before;
}
function drawEpisodes() {
  const ends = data.episodes.ends[byId("episode-run").value]?.[byId("episode-set").value];
  if (!ends) return;
  const set = data.episodes.sets[byId("episode-set").value];
  const outcome = byId("episode-outcome").value;
  const centred = byId("episode-centre").checked;
  const rows = set.seeds.map((seed, i) => {
    const [ox, oy] = centred ? [set.goal_x[i], set.goal_y[i]] : [0, 0];
    const at = (x, y) => [(x - ox) / 100, (y - oy) / 100];
    const [start_x, start_y] = at(set.start_x[i], set.start_y[i]);
    const [goal_x, goal_y] = at(set.goal_x[i], set.goal_y[i]);
    const [end_x, end_y] = at(ends.x[i], ends.y[i]);
    const distance = Math.hypot(end_x - goal_x, end_y - goal_y);
    return { seed, outcome: ends.outcome[i] === "s" ? "success" : "time-out", start_x, start_y, goal_x, goal_y, end_x, end_y, distance };
  });
  const shown = rows.filter((row) => outcome === "all" || row.outcome[0] === outcome);
  const of = (name) => rows.filter((row) => row.outcome === name).length;
  byId("episode-count").textContent = `${shown.length} of ${rows.length} episodes shown: ${of("success")} successes, ${of("time-out")} time-outs in all.`;
  byId("episode-rings").textContent = centred
    ? `Circles around the goal: held within ${field.success_radius}, and the signature field at one and two of its widths (${field.signature_sigma}).`
    : `The square is the arena, the circle the false basin at one of its widths (${field.basin_sigma}).`;
  const far = Math.max(...rows.flatMap((row) => [row.start_x, row.start_y, row.end_x, row.end_y].map(Math.abs)));
  const reach = centred ? Math.max(far, 2 * field.signature_sigma) * 1.05 : field.half_width * 1.02;
  views.episodes?.signal("reach", reach).signal("crowded", shown.length > 128).data("rings", rings(centred)).data("rows", shown).run();
}
if (byId("episode-run")) {
  byId("episode-run").replaceChildren(...Object.keys(data.episodes.ends).map((place) => new Option(data.runs[place].name, place)));
  fillSets();
  byId("episode-run").addEventListener("change", fillSets);
  byId("episode-choice").addEventListener("change", drawEpisodes);
  byId("episode-choice").addEventListener("submit", (event) => event.preventDefault());
}

/* The table of runs */
const table = byId("run-table");
const valueOf = (row, column) => {
  const cell = row.cells[column];
  const value = cell.dataset.value ?? cell.textContent.trim();
  return cell.dataset.value === undefined ? value : value === "" ? null : Number(value);
};
function sortBy(column, heading) {
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
[...table.tHead.rows[0].cells].forEach((heading, column) => {
  heading.querySelector("button").addEventListener("click", () => sortBy(column, heading));
});
function filterRuns() {
  const word = byId("run-filter").value.trim().toLowerCase();
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(word);
  byId("run-count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} runs`;
}
byId("run-filter").addEventListener("input", filterRuns);
filterRuns();

/* Draw */
function square(element) {
  return Math.max(240, Math.min(640, element.clientWidth));
}
async function draw() {
  for (const element of document.querySelectorAll("[data-chart]")) {
    const name = element.dataset.chart;
    const spec = data.specs[name];
    if (name === "episodes") spec.width = spec.height = square(element);
    const drawn = await vegaEmbed(element, spec, { mode: "vega-lite", renderer: "svg", actions: false, ast: true, logLevel: 1 /* errors */ });
    views[name] = drawn.view;
  }
  drawCurves();
  if (byId("episode-run")) drawEpisodes();
  document.documentElement.dataset.drawn = "yes";
}
addEventListener("resize", () => {
  const element = document.querySelector("[data-chart=episodes]");
  if (element && views.episodes) views.episodes.width(square(element)).height(square(element)).run();
});
draw();
