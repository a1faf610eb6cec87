// The panel of one run: its scores, its settings, the command that runs it, the file of its result.
function quote(text) {
  return /^[\w@%+=:,.\/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Return the command that computes a run. */
function commandOf(runs, run) {
  const raw = (key) => {
    const column = columnOf(runs, key);
    return column.raw[column.codes[run]];
  };
  const extra = (key) => {
    const column = runs.extras.find((one) => one.key === key);
    return column.values[column.codes[run]];
  };
  const stated = (column) => column.is_setting && column.raw[column.codes[run]] !== null;
  const settings = runs.texts.filter(stated).map((column) => `${column.key}=${column.raw[column.codes[run]]}`);
  const dtype = raw("dtype") === null ? [] : [`dtype=${raw("dtype")}`];
  const modelArgs = [`pretrained=${raw("pretrained")}`, ...settings, ...dtype, extra("model_args")].filter(Boolean);
  const scheme = raw("encoding_scheme") === null ? "" : `encoding_scheme=${raw("encoding_scheme")}`;
  const taskArgs = [scheme, extra("task_args")].filter(Boolean);
  const parts = ["--model", raw("kind"), "--tasks", raw("task"), "--num_fewshot", String(raw("num_fewshot"))];
  const [limit, ...seed] = raw("limit").split(" "); // the seed stands behind it where it isn't the usual one
  if (limit !== "None") parts.push("--limit", limit);
  parts.push(...seed);
  parts.push("--model_args", modelArgs.join(","));
  if (taskArgs.length) parts.push("--task_args", taskArgs.join(","));
  if (raw("description")) parts.push("--description_dict_path", "FILE");
  return `python -m lm_eval ${parts.map(quote).join(" ")}`;
}

function fileOf(runs, run) {
  return `${textOf(runs.folders, run)}/${runs.files[run]}`;
}

function listOf(pairs) {
  const list = document.createElement("dl");
  for (const [name, text] of pairs) {
    const [pair, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    value.textContent = text;
    pair.append(term, value);
    list.append(pair);
  }
  return list;
}

function codeOf(title, text) {
  const [heading, code, button] = ["h3", "pre", "button"].map((name) => document.createElement(name));
  heading.textContent = title;
  code.textContent = text;
  code.tabIndex = 0;
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", `Copy: ${title}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
  heading.append(" ", button);
  return [heading, code];
}

function showRun(runs, run) {
  const panel = document.getElementById("panel");
  panel.hidden = run === null;
  if (run === null) return;
  const pairs = [
    ...runs.scores.map((column) => [column.label, scoreOf(column, run)]),
    ...runs.texts.map((column) => [column.label, textOf(column, run)]),
  ].filter(([, text]) => text !== "-" && text !== "");
  const parts = [listOf(pairs), ...codeOf("Command", commandOf(runs, run)), ...codeOf("File", fileOf(runs, run))];
  document.getElementById("panel-content").replaceChildren(...parts);
}
