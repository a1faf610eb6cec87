// DataTables, as the package itables bundles it: a module that stands in the page as text.
async function loadDataTables() {
  const source = document.getElementById("datatables").textContent;
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const { jQuery } = await import(address);
  URL.revokeObjectURL(address);
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark", darkness.matches);
  darkness.addEventListener("change", follow);
  follow();
  return jQuery.fn.dataTable;
}
