// DataTables, as the package itables bundles it: a module that stands in the page as text, loaded once.
const darkness_of_tables = matchMedia("(prefers-color-scheme: dark)");
let dataTables = null;

function loadDataTables() {
  dataTables ??= importDataTables();
  return dataTables;
}

async function importDataTables() {
  const source = document.getElementById("datatables").textContent;
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { jQuery } = await import(address);
  URL.revokeObjectURL(address);
  return jQuery.fn.dataTable;
}

const followDarkness = () => document.documentElement.classList.toggle("dark", darkness_of_tables.matches);
darkness_of_tables.addEventListener("change", followDarkness);
followDarkness();
