// Draws the page's figures: each when it comes near the view, one with a picture when it is touched, all of them before
// print; all in the score of the switch. plotly.js, which stands in the page as text, is loaded for the first of them.
const DARK_PAPER = document.getElementById("dark").dataset.paper;
const DARK_COLOURS = JSON.parse(document.getElementById("dark").textContent);
const darkness = matchMedia("(prefers-color-scheme: dark)");
const SMALLEST = 0.43; // of a figure on a narrow screen; below, it is scrolled
let printing = false;
let asked = null;

const figures = [...document.querySelectorAll("figure")].map((element) => ({
  frame: element.querySelector(".frame"),
  plot: element.querySelector(".plot"),
  source: element.querySelector("script"),
  content: null,
  state: null,
  hidden: new Set(), // what the reader has switched off in the legend
}));

/** Load plotly.js from an address: such scripts are compiled aside, while the page stays awake. */
function loadPlotly() {
  if (window.Plotly) return Promise.resolve();
  asked ??= new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = URL.createObjectURL(new Blob([plotlySource()], { type: "text/javascript" }));
    script.onload = resolve;
    script.onerror = () => resolve(loadPlotlyAtOnce()); // where a viewer takes no such address
    document.head.append(script);
  });
  return asked;
}

/** Load it before anything else goes on: print doesn't wait. */
function loadPlotlyAtOnce() {
  if (window.Plotly) return;
  const script = document.createElement("script");
  script.textContent = plotlySource();
  document.head.append(script);
}

function plotlySource() {
  return document.getElementById("plotly").textContent;
}

async function drawFirst(figure) {
  figure.frame.ariaBusy = "true";
  await loadPlotly();
  figure.frame.ariaBusy = null;
  draw(figure);
}

function chosenScore() {
  return document.querySelector("input[name=score]:checked")?.value ?? "";
}

function stateOf(figure) {
  const { states } = figure.content;
  return states[chosenScore()] ?? Object.values(states)[0];
}

function entryOf(trace) {
  return trace.legendgroup || trace.name || "";
}

/** Remember which entries of the legend are switched off, among what the figure shows now. */
function rememberLegend(figure) {
  figure.plot.data?.forEach((trace, index) => {
    if (!figure.state.visible[index] || trace.showlegend === false) return;
    if (trace.visible === "legendonly") figure.hidden.add(entryOf(trace));
    else figure.hidden.delete(entryOf(trace));
  });
}

/** Return data or layout in the colours of the page: lines and words change in a dark one, what has a meaning stays. */
function coloured(value) {
  if (!darkness.matches || printing) return structuredClone(value);
  const text = Object.entries(DARK_COLOURS).reduce((all, [light, dark]) => all.replaceAll(light, dark), JSON.stringify(value));
  return JSON.parse(text);
}

function draw(figure) {
  figure.content ??= JSON.parse(figure.source.textContent);
  if (figure.state) rememberLegend(figure);
  figure.state = stateOf(figure);
  const data = coloured(figure.content.data);
  data.forEach((trace, index) => {
    const off = figure.hidden.has(entryOf(trace)) ? "legendonly" : true;
    trace.visible = figure.state.visible[index] ? off : false;
  });
  const paper = darkness.matches && !printing ? DARK_PAPER : "#ffffff";
  const layout = { ...coloured(figure.state.layout), paper_bgcolor: paper, plot_bgcolor: paper };
  figure.frame.style.setProperty("--w", layout.width);
  figure.frame.style.setProperty("--h", layout.height);
  Plotly.react(figure.plot, data, layout, { displayModeBar: false });
  figure.plot.querySelector("picture")?.remove();
  fit(figure);
}

/** Scale a figure to its column. */
function fit(figure) {
  const width = Number(figure.frame.style.getPropertyValue("--w"));
  const room = figure.frame.parentElement.clientWidth;
  figure.frame.style.setProperty("--scale", Math.max(SMALLEST, Math.min(1, room / width)));
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      drawFirst(figures.find((figure) => figure.frame === target));
    }
  },
  { rootMargin: "600px 0px" },
);

const redraw = () => figures.filter((figure) => figure.state).forEach(draw);
const watch = (figure) => figure.state || watcher.observe(figure.frame);
figures.forEach(fit);
for (const figure of figures) {
  if (!figure.plot.querySelector("picture")) watch(figure);
  else ["pointerenter", "focusin"].forEach((sign) => figure.frame.addEventListener(sign, () => watch(figure), { once: true }));
}
document.querySelectorAll("input[name=score]").forEach((input) =>
  input.addEventListener("change", () => {
    redraw();
    figures.forEach(watch); // pictures show the score that came first
  }),
);
darkness.addEventListener("change", () => printing || redraw());
addEventListener("resize", () => figures.forEach(fit));
addEventListener("beforeprint", () => {
  printing = true;
  if (figures.length) loadPlotlyAtOnce();
  figures.forEach((figure) => (figure.state && !darkness.matches ? null : draw(figure)));
});
addEventListener("afterprint", () => {
  printing = false;
  if (darkness.matches) redraw();
});
if (innerWidth < 1344) document.querySelector("nav details").open = false;
