const checked = (name) => [...document.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);

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
function around(x, y) {
  return [["held", field.success_radius], ["one", field.signature_sigma], ["two", 2 * field.signature_sigma]]
    .flatMap(([name, radius]) => circle(name, x, y, radius));
}
function rings(centred, only) {
  if (centred) {
    return around(0, 0);
  }
  const h = field.half_width;
  const arena = [[-h, -h], [h, -h], [h, h], [-h, h], [-h, -h]];
  return [
    ...arena.map(([x, y], i) => ({ ring: "arena", order: i, ring_x: x, ring_y: y })),
    ...circle("basin", ...field.basin, field.basin_sigma),
    ...(only ? around(only.goal_x, only.goal_y) : []),
  ];
}
function fillSets() {
  const sets = Object.keys(data.episodes.ends[byId("episode-run").value] ?? {});
  const before = byId("episode-set").value;
  byId("episode-set").replaceChildren(...sets.map((start) => new Option(start, start)));
  if (sets.includes(before)) byId("episode-set").value = before;
}
/* Paths are unpacked once a run and set are looked at. */
const unpacked = new Map();
function pathsOf(run, start) {
  const packed = data.episodes.paths[run]?.[start];
  if (!packed) return null;
  const key = `${run} ${start}`;
  if (!unpacked.has(key)) {
    const bytes = Uint8Array.from(atob(packed.xy), (letter) => letter.charCodeAt(0));
    unpacked.set(key, { ...packed, xy: new Int16Array(bytes.buffer) });
  }
  return unpacked.get(key);
}
function pathUpTo(paths, episode, step) {
  /* Points of an episode from its start to a step, or to its end. */
  const last = Math.min(step, paths.steps[episode]);
  const points = [];
  for (let i = 0; i < paths.points; i += 1) {
    const at = 2 * (episode * paths.points + i);
    points.push([paths.xy[at], paths.xy[at + 1]]);
    if (Math.min(i * paths.every, paths.horizon) >= last) break;
  }
  return points;
}
function fillSeeds() {
  const set = data.episodes.sets[byId("episode-set").value];
  const outcomes = data.episodes.ends[byId("episode-run").value]?.[byId("episode-set").value]?.outcome ?? "";
  const outcome = byId("episode-outcome").value;
  const before = byId("episode-seed").value;
  const seeds = (set?.seeds ?? []).filter((_, i) => outcome === "all" || outcomes[i] === outcome).map(String);
  byId("episode-seed").replaceChildren(new Option("all", "all"), ...seeds.map((seed) => new Option(seed, seed)));
  if (seeds.includes(before)) byId("episode-seed").value = before;
}
function drawEpisodes() {
  const [run, start] = [byId("episode-run").value, byId("episode-set").value];
  const ends = data.episodes.ends[run]?.[start];
  if (!ends) return;
  const set = data.episodes.sets[start];
  const paths = pathsOf(run, start);
  const outcome = byId("episode-outcome").value;
  const chosenSeed = byId("episode-seed").value;
  const centred = byId("episode-centre").checked;
  const step = showStep(paths);
  const lines = [];
  const rows = set.seeds.map((seed, i) => {
    const [ox, oy] = centred ? [set.goal_x[i], set.goal_y[i]] : [0, 0];
    const at = (x, y) => [(x - ox) / 100, (y - oy) / 100];
    const final = ends.outcome[i] === "s" ? "success" : "time-out";
    const shown = (outcome === "all" || ends.outcome[i] === outcome) && (chosenSeed === "all" || chosenSeed === String(seed));
    const has_path = Boolean(paths?.steps[i]);
    const way = has_path ? pathUpTo(paths, i, step) : [];
    const going = has_path && step < paths.steps[i];
    const [start_x, start_y] = at(set.start_x[i], set.start_y[i]);
    const [goal_x, goal_y] = at(set.goal_x[i], set.goal_y[i]);
    const [end_x, end_y] = at(...(going ? way.at(-1) : [ends.x[i], ends.y[i]]));
    const distance = Math.hypot(end_x - goal_x, end_y - goal_y);
    const now = going ? "under way" : final;
    if (shown) {
      way.forEach((point, order) => {
        const [path_x, path_y] = at(...point);
        lines.push({ seed, order, outcome: now, path_x, path_y });
      });
    }
    const steps = has_path ? Math.min(step, paths.steps[i]) : "-";
    return { seed, final, shown, outcome: now, steps, has_path, start_x, start_y, goal_x, goal_y, end_x, end_y, distance };
  });
  const shown = rows.filter((row) => row.shown);
  const only = chosenSeed === "all" ? null : shown[0];
  const of = (name) => rows.filter((row) => row.final === name).length;
  byId("episode-count").textContent = `${shown.length} of ${rows.length} episodes shown: ${of("success")} successes, ${of("time-out")} time-outs in all.`;
  const goal = `around the goal: held within ${field.success_radius}, and the signature field at one and two of its widths (${field.signature_sigma})`;
  const arena = `The square is the arena, the circle at its lower left the false basin at one of its widths (${field.basin_sigma})`;
  byId("episode-rings").textContent = centred ? `Circles ${goal}.` : only ? `${arena}; circles ${goal}.` : `${arena}.`;
  const far = Math.max(...rows.flatMap((row) => [row.start_x, row.start_y, row.end_x, row.end_y].map(Math.abs)));
  const reach = centred ? Math.max(far, 2 * field.signature_sigma) * 1.05 : field.half_width * 1.02;
  views.episodes?.signal("reach", reach).signal("crowded", shown.length > 128)
    .data("rings", rings(centred, only)).data("paths", lines).data("rows", shown).run();
}
/* Play: the slider is the clock. */
let clock = null;
function showStep(paths) {
  const slider = byId("step");
  if (!slider) return Infinity;
  const horizon = paths?.horizon ?? 1;
  const atEnd = Number(slider.value) >= Number(slider.max);
  slider.max = horizon;
  if (atEnd) slider.value = horizon;
  slider.disabled = byId("play").disabled = paths === null;
  const step = Number(slider.value);
  byId("step-shown").textContent = step >= horizon ? "end" : String(step);
  slider.setAttribute("aria-valuetext", step >= horizon ? "the end" : `step ${step}`);
  return step >= horizon ? Infinity : step;
}
function pause() {
  clearInterval(clock);
  clock = null;
  byId("play").textContent = "Play";
}
function play() {
  const slider = byId("step");
  if (clock !== null) return pause();
  if (Number(slider.value) >= Number(slider.max)) slider.value = 0;
  byId("play").textContent = "Pause";
  clock = setInterval(() => {
    slider.value = Number(slider.value) + 2;
    if (Number(slider.value) >= Number(slider.max)) pause();
    drawEpisodes();
  }, 50);
  drawEpisodes();
}
if (byId("episode-run")) {
  byId("episode-run").replaceChildren(...Object.keys(data.episodes.ends).map((place) => new Option(data.runs[place].name, place)));
  fillSets();
  fillSeeds();
  byId("episode-run").addEventListener("change", fillSets);
  byId("episode-choice").addEventListener("change", (event) => {
    if (event.target.id !== "episode-seed") fillSeeds();
    drawEpisodes();
  });
  byId("episode-choice").addEventListener("submit", (event) => event.preventDefault());
  byId("step")?.addEventListener("input", drawEpisodes);
  byId("play")?.addEventListener("click", play);
}

afterDrawing = () => {
  drawCurves();
  if (byId("episode-run")) drawEpisodes();
};
