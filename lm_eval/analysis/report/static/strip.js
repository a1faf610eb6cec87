// The strip plot: a point a run, in rows by a setting; dragging across it chooses a range of scores.
const strip = document.getElementById("strip");
const ROW_PX = 26;
const AROUND_PX = 64;

function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Return a text in the form in which plotly shows it as it is. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Return a run's place in its row: spread evenly, and the same each time. */
function spread(run) {
  return (((run * 0.6180339887) % 1) - 0.5) * 0.7;
}

/** Whether names have to be short. */
const narrow = () => strip.clientWidth < 600;

function layoutOf(runs, state, by) {
  const axis = { gridcolor: colourOf("--line"), zeroline: false, fixedrange: true };
  return {
    height: AROUND_PX + ROW_PX * by.values.length,
    margin: { l: 10, r: 10, t: 8, b: 56 },
    paper_bgcolor: colourOf("--paper"),
    plot_bgcolor: colourOf("--paper"),
    font: { color: colourOf("--ink"), size: 13 },
    showlegend: false,
    dragmode: "select",
    selectdirection: "h",
    hovermode: "closest",
    uirevision: "same",
    xaxis: { ...axis, title: { text: columnOf(runs, state.score).label }, zeroline: true, zerolinecolor: colourOf("--ink") },
    yaxis: {
      ...axis,
      automargin: true,
      tickvals: by.values.map((_, place) => place),
      ticktext: by.values.map((text) => plain(narrow() ? text.split("/").pop() : text)),
      range: [by.values.length - 0.5, -0.5],
    },
  };
}

/** Draw all runs with plotly, in grey; only where rows, score or colours have changed. */
function drawAll(runs, state, by, score) {
  const drawn = `${state.by} ${state.score} ${colourOf("--paper")} ${narrow()}`;
  if (strip.drawn === drawn) return;
  strip.drawn = drawn;
  const place = (run) => by.codes[run] + spread(run);
  const trace = {
    type: "scattergl",
    mode: "markers",
    x: score.values,
    y: Float64Array.from(by.codes, (_, run) => place(run)),
    marker: { size: 5, color: colourOf("--faint"), opacity: 0.15 },
    selected: { marker: { opacity: 0.15 } },
    unselected: { marker: { opacity: 0.15 } },
    hoverinfo: "none",
  };
  Plotly.react(strip, [trace], layoutOf(runs, state, by), { displayModeBar: false, responsive: true });
}

/** Draw the selected runs over all of them: on a canvas, since plotly takes a tenth of a second to change its points. */
function drawSelected(runs, state, by, score) {
  const { xaxis, yaxis } = strip._fullLayout;
  const canvas = strip.querySelector(".selected") ?? document.createElement("canvas");
  const [width, height, ratio] = [strip.clientWidth, strip.clientHeight, devicePixelRatio || 1];
  canvas.className = "selected";
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  if (!canvas.parentElement) strip.append(canvas);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.fillStyle = colourOf("--accent");
  pen.globalAlpha = 0.8;
  for (const run of state.listed) {
    const value = score.values[run];
    if (value !== value) continue;
    pen.fillRect(xaxis._offset + xaxis.l2p(value) - 2, yaxis._offset + yaxis.l2p(by.codes[run] + spread(run)) - 2, 4, 4);
  }
}

function drawStrip(runs, state) {
  const [by, score] = [columnOf(runs, state.by), columnOf(runs, state.score)];
  drawAll(runs, state, by, score);
  if (state.low === null && state.high === null && strip.layout.selections?.length) Plotly.relayout(strip, { selections: [] });
  drawSelected(runs, state, by, score);
}

/** Name the run under the pointer. */
function sayRun(runs, state, run) {
  const parts = ["pretrained", "encoding_scheme", "num_fewshot"].map((key) => textOf(columnOf(runs, key), run));
  return `${parts[0]}, ${parts[1]}, ${parts[2]} shots: ${scoreOf(columnOf(runs, state.score), run)}`;
}

function listenToStrip(runs, state, { brushed, opened }) {
  const round = (value) => Math.round(value * 1000) / 1000;
  const selected = (event) => event.points.map((point) => point.pointNumber).find((run) => state.chosen[run]);
  strip.on("plotly_selected", (event) => {
    if (event?.range?.x) brushed(...event.range.x.map(round).sort((a, b) => a - b));
  });
  strip.on("plotly_deselect", () => brushed(null, null));
  strip.on("plotly_click", (event) => selected(event) !== undefined && opened(selected(event)));
  strip.on("plotly_hover", (event) => {
    if (selected(event) !== undefined) strip.title = sayRun(runs, state, selected(event));
  });
  strip.on("plotly_unhover", () => strip.removeAttribute("title"));
  strip.on("plotly_afterplot", () => state.chosen && drawSelected(runs, state, columnOf(runs, state.by), columnOf(runs, state.score)));
}
