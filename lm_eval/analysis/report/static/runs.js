// The runs of the page, by columns, and which of them a state of the filters selects.
const PLACES = 10000;

async function readRuns() {
  const bytes = Uint8Array.from(atob(document.getElementById("runs").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const runs = await new Response(stream).json();
  const number = (value) => (value === null ? NaN : value / PLACES);
  for (const column of [...runs.texts, ...runs.extras, runs.folders]) column.codes = Uint16Array.from(column.codes);
  for (const column of runs.scores) {
    column.values = Float64Array.from(column.values, number);
    column.errors = Float64Array.from(column.errors, number);
  }
  runs.facets = runs.texts.filter((column) => column.values.filter((text) => text !== "-").length > 1);
  return runs;
}

/** Return the column of a key. */
function columnOf(runs, key) {
  return [...runs.texts, ...runs.scores].find((column) => column.key === key);
}

/** Return the text of a run's value in a column of texts. */
function textOf(column, run) {
  return column.values[column.codes[run]];
}

/** Return a score with its standard error as text. */
function scoreOf(column, run) {
  const [value, error] = [column.values[run], column.errors[run]];
  if (Number.isNaN(value)) return "-";
  return value.toFixed(3) + (Number.isNaN(error) ? "" : ` ± ${error.toFixed(3)}`);
}

/** What a search looks through, made when first needed. */
function searchTexts(runs) {
  runs.searched ??= runs.files.map((file, run) =>
    [...runs.texts.map((column) => textOf(column, run)), file].join("\n").toLowerCase(),
  );
  return runs.searched;
}

/**
 * Return which runs a state selects, and for each value of each facet how many runs there are with the other filters.
 * A run that fails one facet alone still counts there: its box would bring it back.
 */
function select(runs, state) {
  const { facets, num_runs: total } = runs;
  const allowed = facets.map((facet) => {
    const chosen = state.filters.get(facet.key);
    return chosen?.size ? Uint8Array.from(facet.values, (_, place) => chosen.has(place)) : null;
  });
  const score = columnOf(runs, state.score).values;
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = words.length ? searchTexts(runs) : null;
  const bounded = state.low !== null || state.high !== null;
  const [low, high] = [state.low ?? -Infinity, state.high ?? Infinity];
  const counts = facets.map((facet) => new Uint32Array(facet.values.length));
  const chosen = new Uint8Array(total);
  for (let run = 0; run < total; run++) {
    if (bounded && !(score[run] >= low && score[run] <= high)) continue;
    if (texts && !words.every((word) => texts[run].includes(word))) continue;
    let failed = -1;
    for (let place = 0; place < facets.length; place++) {
      if (allowed[place] === null || allowed[place][facets[place].codes[run]]) continue;
      failed = failed === -1 ? place : -2;
      if (failed === -2) break;
    }
    if (failed === -1) {
      chosen[run] = 1;
      for (let place = 0; place < facets.length; place++) counts[place][facets[place].codes[run]]++;
    } else if (failed >= 0) {
      counts[failed][facets[failed].codes[run]]++;
    }
  }
  return { chosen, counts };
}

/** Return all runs in the order of a column; runs without a value come last. */
function sortRuns(runs, { key, descending }) {
  const column = columnOf(runs, key);
  const values = column.errors ? column.values : column.codes;
  const order = Int32Array.from({ length: runs.num_runs }, (_, run) => run);
  const sign = descending ? -1 : 1;
  return order.sort((a, b) => {
    const [first, second] = [values[a], values[b]];
    if (first === second) return a - b;
    if (first !== first) return second !== second ? a - b : 1;
    if (second !== second) return -1;
    return sign * (first - second);
  });
}
