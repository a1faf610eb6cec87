// Makes every table of the page sortable and searchable.
async function makeSortable() {
  const DataTable = await loadDataTables();
  for (const table of document.querySelectorAll("table.display")) {
    new DataTable(table, {
      paging: false,
      info: false,
      order: [],
      autoWidth: false,
      layout: { topStart: "search", topEnd: null },
    });
  }
}
if (document.querySelector("table.display")) makeSortable();
