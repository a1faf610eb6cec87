// Makes a table sortable and searchable once it comes near the view.
const tables = new IntersectionObserver(
  async (entries) => {
    const near = entries.filter(({ isIntersecting }) => isIntersecting).map(({ target }) => target);
    near.forEach((table) => tables.unobserve(table));
    if (!near.length) return;
    const DataTable = await loadDataTables();
    for (const table of near) {
      new DataTable(table, {
        paging: false,
        info: false,
        order: [],
        autoWidth: false,
        layout: { topStart: "search", topEnd: null },
      });
    }
  },
  { rootMargin: "600px 0px" },
);
document.querySelectorAll("table.display").forEach((table) => tables.observe(table));
