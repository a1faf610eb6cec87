// The table: DataTables shows a page of the selected runs in the order of a column, both of which are found here.
function listingColumns(runs) {
  const first = ["pretrained", "kind", "encoding_scheme", "num_fewshot"];
  const scores = runs.scores.filter((column) => column.key !== "baseline" && column.values.some((value) => !Number.isNaN(value)));
  const rest = runs.facets.filter((column) => !first.includes(column.key));
  return [...first.map((key) => columnOf(runs, key)), ...scores, ...rest];
}

function buildListing(DataTable, runs, state, { ordered, searched, opened }) {
  const columns = listingColumns(runs);
  const text = DataTable.render.text();
  const place = columns.findIndex((column) => column.key === state.order.key) + 1;
  const table = new DataTable("#table", {
    serverSide: true,
    searchDelay: 150,
    pageLength: 25,
    lengthMenu: [25, 100, 500],
    autoWidth: false,
    order: [[place, state.order.descending ? "desc" : "asc"]],
    search: { search: state.query },
    language: { searchPlaceholder: "words, in any order", info: "_START_ to _END_ of _TOTAL_ runs", infoFiltered: "(all: _MAX_)" },
    columns: [
      { title: "run", orderable: false, render: (run) => `<button type="button" data-run="${Number(run)}">show</button>` },
      ...columns.map((column) => ({
        title: column.label,
        render: text,
        orderSequence: column.errors ? ["desc", "asc"] : ["asc", "desc"],
      })),
    ],
    ajax: (request, answer) => {
      const [by] = request.order;
      if (by) ordered({ key: columns[by.column - 1].key, descending: by.dir === "desc" });
      if (request.search.value !== state.query) searched(request.search.value);
      const shown = state.listed.slice(request.start, request.start + request.length);
      const rows = Array.from(shown, (run) => [
        run,
        ...columns.map((column) => (column.errors ? scoreOf(column, run) : textOf(column, run))),
      ]);
      answer({ draw: request.draw, recordsTotal: runs.num_runs, recordsFiltered: state.listed.length, data: rows });
    },
  });
  document.getElementById("table").addEventListener("click", (event) => {
    const run = event.target.closest("button[data-run]")?.dataset.run;
    if (run !== undefined) opened(Number(run));
  });
  return table;
}
