// The explorer: one state, stated in the page's address, and what shows it.
const byId = (id) => document.getElementById(id);
const runs = await readRuns();
const DataTable = await loadDataTables();
const scores = runs.scores.filter((column) => column.values.some((value) => !Number.isNaN(value)));
const state = { filters: new Map(), query: "", low: null, high: null, run: null, chosen: null, listed: new Int32Array() };
let order = null; // all runs, in the order of the table
let listing = null;
let addressing = 0; // the address follows a moment later: browsers take their time to write it

function defaults() {
  const by = runs.facets.find((facet) => facet.key === "pretrained") ?? runs.facets[0] ?? runs.texts[0];
  return { score: scores[0].key, by: by.key, order: { key: scores[0].key, descending: true } };
}

/** Return the state as the end of an address; what is as at first is left out. */
function addressOf() {
  const address = new URLSearchParams();
  const first = defaults();
  for (const facet of runs.facets)
    for (const value of state.filters.get(facet.key) ?? []) address.append(facet.key, facet.values[value]);
  if (state.score !== first.score) address.set("score", state.score);
  if (state.by !== first.by) address.set("by", state.by);
  if (state.order.key !== first.order.key || !state.order.descending)
    address.set("sort", `${state.order.descending ? "-" : ""}${state.order.key}`);
  for (const key of ["low", "high"]) if (state[key] !== null) address.set(key, state[key]);
  if (state.query) address.set("search", state.query);
  if (state.run !== null) address.set("run", runs.files[state.run]);
  return address.toString();
}

/** Return the number that a text is; null where it is none. */
function numberOf(text) {
  return text.trim() === "" || Number.isNaN(Number(text)) ? null : Number(text);
}

/** Take the state from the address; what it names and the page doesn't have is left out. */
function readAddress() {
  const address = new URLSearchParams(location.hash.slice(1));
  Object.assign(state, defaults());
  state.filters.clear();
  for (const facet of runs.facets) {
    const values = address.getAll(facet.key).map((text) => facet.values.indexOf(text)).filter((value) => value >= 0);
    if (values.length) state.filters.set(facet.key, new Set(values));
  }
  if (scores.some((column) => column.key === address.get("score"))) state.score = address.get("score");
  if (runs.facets.some((column) => column.key === address.get("by"))) state.by = address.get("by");
  const sort = address.get("sort") ?? "";
  const key = sort.replace(/^-/, "");
  if (listingColumns(runs).some((column) => column.key === key)) state.order = { key, descending: sort.startsWith("-") };
  for (const end of ["low", "high"]) state[end] = numberOf(address.get(end) ?? "");
  state.query = address.get("search") ?? "";
  const run = runs.files.indexOf(address.get("run"));
  state.run = run >= 0 ? run : null;
  order = sortRuns(runs, state.order);
}

/** Find what the state selects, and show it everywhere. */
function show({ draw = true } = {}) {
  const { chosen, counts } = select(runs, state);
  Object.assign(state, { chosen, listed: order.filter((run) => chosen[run]) });
  showFacets(runs, state, counts);
  drawStrip(runs, state);
  showRun(runs, state.run);
  byId("summary").textContent = `${inWords(state.listed.length)} of ${inWords(runs.num_runs)} ${runs.num_runs === 1 ? "run" : "runs"}`;
  for (const key of ["low", "high"]) byId(key).value = state[key] ?? "";
  for (const key of ["score", "by"]) byId(key).value = state[key];
  clearTimeout(addressing);
  addressing = setTimeout(() => history.replaceState(null, "", `#${addressOf()}`), 100);
  if (draw) listing?.draw();
}

function open(run) {
  state.run = run;
  show({ draw: false });
  if (run !== null) byId("panel").focus();
}

function ordered(next) {
  if (next.key === state.order.key && next.descending === state.order.descending) return;
  state.order = next;
  order = sortRuns(runs, next);
  show({ draw: false });
}

function searched(query) {
  state.query = query;
  show({ draw: false });
}

/** Return the selected runs as CSV, in the order of the table. */
function selectionAsCsv() {
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  // A spreadsheet would take it for a formula; a number stays one.
  const inert = (text) => (/^[=+\-@\t\r]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^-$/i.test(text) ? `'${text}` : text);
  const plain = (value) => (Number.isNaN(value) ? "" : String(value));
  const heads = [...runs.texts.map(({ key }) => key), ...runs.scores.flatMap(({ key }) => [key, `${key}_stderr`]), "path"];
  const rows = Array.from(state.listed, (run) => [
    ...runs.texts.map((column) => String(column.raw[column.codes[run]] ?? "")),
    ...runs.scores.flatMap((column) => [plain(column.values[run]), plain(column.errors[run])]),
    fileOf(runs, run),
  ]);
  return [heads, ...rows].map((row) => row.map((text) => cell(inert(text))).join(",")).join("\n") + "\n";
}

function saveCsv() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([selectionAsCsv()], { type: "text/csv" }));
  link.download = "selection.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

function addOptions(id, columns) {
  byId(id).append(...columns.map((column) => new Option(column.label, column.key)));
  byId(id).addEventListener("change", (event) => {
    state[id] = event.target.value;
    if (id === "score") Object.assign(state, { low: null, high: null });
    show();
  });
}

addOptions("score", scores);
addOptions("by", runs.facets.length ? runs.facets : runs.texts.slice(0, 1));
for (const key of ["low", "high"])
  byId(key).addEventListener("change", (event) => {
    state[key] = numberOf(event.target.value);
    show();
  });
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("clear").addEventListener("click", () => {
  Object.assign(state, { low: null, high: null });
  state.filters.clear();
  show();
});
byId("csv").addEventListener("click", saveCsv);
byId("close").addEventListener("click", () => open(null));
if (innerWidth < 900) byId("settings").open = false;

readAddress();
buildFacets(runs, state, show);
show();
listenToStrip(runs, state, { brushed: (low, high) => (Object.assign(state, { low, high }), show()), opened: open });
listing = buildListing(DataTable, runs, state, { ordered, searched, opened: open });
addEventListener("hashchange", () => (readAddress(), listing.search(state.query), show()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show({ draw: false }));
