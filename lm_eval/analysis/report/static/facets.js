// The filters: a box for each value of each setting that differs among the runs, with how many runs it would leave.
const WRITTEN = new Intl.NumberFormat("en");
const inWords = (number) => WRITTEN.format(number);

function buildFacets(runs, state, changed) {
  const place = document.getElementById("facets");
  for (const facet of runs.facets) {
    const details = document.createElement("details");
    details.open = ["kind", "architecture", "pretrained", "encoding_scheme", "num_fewshot"].includes(facet.key);
    const summary = document.createElement("summary");
    const chosen = document.createElement("span");
    summary.append(facet.label, " ", chosen);
    const list = document.createElement("div");
    list.setAttribute("role", "group");
    list.setAttribute("aria-label", facet.label);
    facet.boxes = facet.values.map((text, value) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      const count = document.createElement("span");
      box.type = "checkbox";
      box.value = text;
      box.addEventListener("change", () => {
        const values = state.filters.get(facet.key) ?? new Set();
        if (box.checked) values.add(value);
        else values.delete(value);
        state.filters.set(facet.key, values);
        changed();
      });
      label.append(box, text, count);
      list.append(label);
      return { box, count, label };
    });
    facet.chosen = chosen;
    details.append(summary, list);
    place.append(details);
  }
}

function showFacets(runs, state, counts) {
  runs.facets.forEach((facet, place) => {
    const values = state.filters.get(facet.key);
    facet.chosen.textContent = values?.size ? `${values.size} of ${facet.values.length}` : "";
    facet.boxes.forEach(({ box, count, label }, value) => {
      const number = counts[place][value];
      const checked = Boolean(values?.has(value));
      if (box.checked !== checked) box.checked = checked;
      if (count.number === number) return;
      count.number = number;
      count.textContent = inWords(number);
      label.classList.toggle("none", number === 0);
    });
  });
}
