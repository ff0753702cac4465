// Runs the cells of a page in a worker, and shows what comes out beside what the book stores.
import { differences, gathered, newLines } from "./compare.js";

const here = (name) => new URL(name, import.meta.url);
const json = async (name) => (await fetch(here(name))).json();
const make = (tag, properties = {}, ...inside) => {
  const box = Object.assign(document.createElement(tag), properties);
  box.append(...inside);
  return box;
};
const MB = (bytes) => (bytes / 1e6).toFixed(1);
const seconds = (count) => `${count < 10 ? count.toFixed(1) : Math.round(count)} s`;

let cells, worker, ready, algebra;
let queue = Promise.resolve(), line = 0; // how many runs wait or go on
let asked = 0;
const waiting = new Map();

document.head.append(make("link", { rel: "stylesheet", href: here("run.css") }));
const spoken = make("p", { className: "visually-hidden run-spoken" }); // for screen readers: the steps, not each megabyte
spoken.setAttribute("role", "status");
const about = make("p", { className: "run-about", hidden: true }, "Python runs in this page by Pyodide. ");
about.append(make("a", { href: here("licenses.txt") }, "What that redistributes, and its licenses"), ".");
document.querySelector(".bd-article").append(about, spoken);

// What the page knows of its cells: the stored code and outputs come with the first press.
let opened;
function open(boxes) {
  opened ??= (async () => {
    const name = location.pathname.split("/").at(-1).replace(/\.html$/, "");
    const page = await json(`${name}.json`);
    algebra = page.algebra;
    cells = boxes.map((box, n) => ({ box, number: n + 1, ...page.cells[n], done: false }));
    for (const cell of cells) dress(cell);
  })();
  return opened;
}

function dress(cell) {
  cell.bar = cell.box.querySelector(":scope > .run-bar");
  [cell.runButton, cell.editButton] = cell.bar.querySelectorAll("button");
  cell.note = make("span", { className: "run-note" });
  cell.bar.append(cell.note);
  cell.code = () => cell.editor?.value ?? cell.source;
  const pictures = cell.box.querySelectorAll(".cell_output img");
  cell.pictures = [...pictures].map((picture) => picture.src);
}

export async function press(word, n, boxes) {
  await open(boxes);
  const cell = cells[n];
  if (word === "Edit") return cell.editor ? restore(cell) : edit(cell);
  return cell.runs ? stop() : run(n);
}

function name(button, word, cell) {
  button.textContent = word;
  button.setAttribute("aria-label", `${word} cell ${cell.number}`);
}

function say(cell, text, { aloud = true } = {}) {
  cell.note.textContent = text;
  if (aloud) spoken.textContent = `Cell ${cell.number}: ${text}`;
}

// Running

function run(n) {
  const cell = cells[n], round = line;
  cell.runs = true;
  name(cell.runButton, "Stop", cell);
  say(cell, "Waits for its turn.", { aloud: false });
  queue = queue.then(() => (round === line ? through(n) : undefined)).catch((error) => fail(error)).finally(() => {
    cell.runs = false;
    name(cell.runButton, "Run", cell);
  });
  return queue;
}

async function through(n) {
  const last = cells[n];
  last.done = false;
  const before = cells.slice(0, n).filter((cell) => !cell.done);
  await begin(last);
  for (const [count, cell] of before.entries()) {
    say(last, `Runs the cells above: ${count + 1} of ${before.length}.`, { aloud: count === 0 });
    await one(cell, { aloud: false });
  }
  say(last, "Runs.", { aloud: before.length === 0 });
  await one(last, { aloud: true });
}

async function one(cell, { aloud }) {
  if (cell.why && !cell.editor) {
    await ask("skip", { source: cell.source, why: cell.why });
    cell.done = true;
    return say(cell, `Did not run. ${cell.why}`, { aloud });
  }
  cell.box.classList.add("run-busy");
  try {
    const source = cell.code();
    const { outputs, seconds: took } = await ask("run", { source, number: cell.number });
    if (cell.ran !== source) for (const later of cells.slice(cell.number)) later.done = false; // what follows runs anew
    Object.assign(cell, { done: true, ran: source });
    await show(cell, outputs, took, aloud);
  } finally {
    cell.box.classList.remove("run-busy");
  }
}

function ask(action, message) {
  asked += 1;
  const id = asked;
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed });
    worker.postMessage({ id, action, ...message });
  });
}

// Python comes once: its files in megabytes, then its start in words.
function begin(cell) {
  ready ??= (async () => {
    say(cell, "Fetches Python.");
    const { sizes, packages, pyodide } = await json("files.json");
    const archives = algebra ? ["book.zip", "sympy.zip"] : ["book.zip"];
    const left = algebra ? "" : "sympy.zip", total = Object.keys(sizes).reduce((sum, file) => sum + (file === left ? 0 : sizes[file]), 0);
    spoken.textContent = `Cell ${cell.number}: fetches Python, ${MB(total)} megabytes, once.`;
    const started = sizes["pyodide.js"] + sizes["pyodide.asm.js"]; // what the worker does not count, being scripts
    worker = new Worker(here("worker.js"));
    worker.onerror = (event) => fail(new Error(event.message || "it stopped"));
    worker.onmessage = ({ data: { id, came, words, ...answer } }) => {
      if (came) say(cell, `Fetches Python: ${MB(came + started)} of ${MB(total)} MB.`, { aloud: false });
      else if (words) say(cell, `${words}.`);
      else if (waiting.has(id)) {
        const { done, failed } = waiting.get(id);
        waiting.delete(id);
        if ("failed" in answer) failed(new Error(answer.failed));
        else done(answer.result);
      }
    };
    await ask("start", { pyodide, packages, archives });
    about.hidden = false;
  })();
  return ready;
}

function end(text) {
  worker?.terminate();
  worker = ready = undefined;
  line += 1;
  for (const { failed } of waiting.values()) failed(undefined);
  waiting.clear();
  for (const cell of cells) {
    if (cell.runs) say(cell, text);
    cell.done = false;
    cell.ran = undefined;
    cell.controls?.forEach((control) => (control.disabled = true));
  }
}

const stop = () => end("Stopped. The next run starts Python anew.");

function fail(error) {
  if (error) end(`Python ended: ${error.message}. The next run tries anew.`);
}

// Showing

async function show(cell, outputs, took, aloud) {
  const why = outputs.at(-1)?.why;
  const words = cell.texts ? await differences(cell, outputs, cell.pictures) : [];
  const time = `Ran here in ${seconds(took)}`;
  cell.shown?.remove();
  cell.shown = cell.controls = undefined;
  const failed = outputs.at(-1)?.output_type === "error" && words.includes("the error");
  if (why) return say(cell, `Did not run. ${why}`, { aloud });
  const controls = outputs.some(({ output_type: type }) => type === "controls");
  if (words.length || controls || (cell.editor && cell.texts === undefined)) place(cell, outputs);
  if (failed) say(cell, `${time}, and stopped with an error, below.`, { aloud });
  else if (words.length) {
    const many = words.length > 1 || (/s$/.test(words[0]) && !words[0].startsWith("1 of"));
    say(cell, `${time}: not as stored, but ${words.join(", ")} differ${many ? "" : "s"}, below.`, { aloud });
  }
  else if (!cell.texts) say(cell, controls ? `${time}: move its sliders, below.` : `${time}.`, { aloud });
  else say(cell, `${time}: ${Object.keys(cell.texts).length ? "the same as stored" : "it shows nothing, as stored"}.`, { aloud });
}

function place(cell, outputs) {
  cell.shown = make("div", { className: "run-out" });
  cell.shown.setAttribute("role", "group");
  cell.shown.setAttribute("aria-label", `What cell ${cell.number} shows here`);
  cell.shown.append(make("p", { className: "run-here" }, "Here:"), ...outputs.flatMap((output) => drawn(output, cell)));
  cell.box.append(cell.shown);
}

function drawn(output, cell) {
  const { output_type: type, data = {} } = output;
  if (type === "stream") return [printed(output.text, cell.texts?.[output.name]?.[0] ?? "", !cell.texts)];
  if (type === "error") return [printed([...output.lines, `${output.ename}: ${output.evalue}`].join("\n"), "", true)];
  if (type === "controls") return [panel(output, cell)];
  if ("text/html" in data) {
    const box = make("div", { className: "output text_html", tabIndex: 0 });
    box.append(document.createRange().createContextualFragment(data["text/html"])); // its scripts run: it is the reader's own
    return [box];
  }
  if ("image/png" in data) {
    const alt = `What cell ${cell.number} draws here`;
    return [make("img", { src: gathered([output]).figures[0].picture, alt, className: "run-figure" })];
  }
  return [printed(data["text/plain"], "", true)];
}

// Text, with the lines marked that the store does not have.
function printed(text, stored, plain) {
  const isNew = plain ? [] : newLines(text, stored);
  const parts = text.replace(/\n$/, "").split("\n").flatMap((each, n) => (isNew[n] ? [make("mark", {}, each), "\n"] : [`${each}\n`]));
  return make("pre", { tabIndex: 0 }, ...parts);
}

// Sliders: each control is one of the page; what the function shows stands below them.

function panel({ number, controls, outputs }, cell) {
  const shown = make("div", { className: "run-turned" }), values = {};
  let busy = false, again = false;
  const redraw = async () => {
    if (busy) return (again = true);
    busy = true;
    do {
      again = false;
      const { outputs: now } = await ask("turn", { number, values });
      shown.replaceChildren(...now.flatMap((output) => drawn(output, cell)));
    } while (again);
    return (busy = false);
  };
  const turn = () => redraw().catch(fail);
  const rows = controls.map((control) => {
    values[control.name] = control.value;
    return row(control, (value) => {
      values[control.name] = value;
      turn();
    });
  });
  cell.controls = rows.map((each) => each.querySelector("input, select"));
  shown.append(...outputs.flatMap((output) => drawn(output, cell)));
  return make("div", { className: "run-panel" }, ...rows, shown);
}

const short = (value) => String(+(+value).toPrecision(4));

function row(control, turned) {
  const { kind, value, min, max, step, base, box, options } = control;
  const label = make("label", { className: "run-control" }, make("span", {}, control.label));
  if (kind === "choice") {
    const select = make("select", {}, ...options.map((text, n) => make("option", { value: n }, text)));
    select.value = value;
    select.onchange = () => turned(select.value);
    label.append(select);
  } else if (kind === "truth") {
    const check = make("input", { type: "checkbox", checked: value });
    check.onchange = () => turned(check.checked);
    label.append(check);
  } else if (kind === "text" || box) {
    const field = make("input", kind === "text" ? { type: "text", value } : { type: "number", min, max, step, value });
    field.onchange = () => field.checkValidity() && turned(kind === "text" ? field.value : +field.value);
    label.append(field);
  } else {
    const slider = make("input", { type: "range", min, max, step }), shown = make("span", { className: "run-value" });
    const now = () => (kind === "log" ? base ** +slider.value : +slider.value);
    slider.value = kind === "log" ? Math.log(value) / Math.log(base) : value;
    const write = () => {
      shown.textContent = short(now());
      slider.setAttribute("aria-valuetext", shown.textContent);
    };
    write();
    slider.oninput = () => {
      write();
      turned(now());
    };
    label.append(slider, shown);
  }
  return label;
}

// Editing: a plain text area over the code. Shift and Enter run it; Tab goes on, as everywhere on the page.

function edit(cell) {
  const fold = cell.box.querySelector(":scope > details");
  if (fold) fold.open = true;
  const code = cell.box.querySelector(".cell_input > [class*='highlight']") ?? cell.box.querySelector(".cell_input pre");
  const editor = make("textarea", { className: "run-editor", value: cell.source, spellcheck: false, wrap: "off" });
  const fit = () => (editor.rows = editor.value.split("\n").length + 1);
  for (const [attribute, text] of [["autocapitalize", "off"], ["autocomplete", "off"], ["autocorrect", "off"]]) {
    editor.setAttribute(attribute, text);
  }
  editor.setAttribute("aria-label", `Code of cell ${cell.number}. Shift and Enter run it.`);
  editor.oninput = () => {
    fit();
    cell.done = false;
  };
  editor.onkeydown = (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    if (event.shiftKey || event.ctrlKey || event.metaKey) {
      event.preventDefault();
      if (!cell.runs) run(cell.number - 1);
    } else {
      const before = editor.value.slice(0, editor.selectionStart).split("\n").at(-1);
      const indent = before.match(/^ */)[0] + (before.trimEnd().endsWith(":") ? "    " : "");
      event.preventDefault();
      document.execCommand("insertText", false, `\n${indent}`); // the one way that undo knows
    }
  };
  Object.assign(cell, { editor, hidden: code });
  fit();
  code.hidden = true;
  code.after(editor);
  name(cell.editButton, "Restore", cell);
  editor.focus();
}

function restore(cell) {
  cell.editor.remove();
  cell.hidden.hidden = false;
  cell.editor = undefined;
  cell.done = false;
  name(cell.editButton, "Edit", cell);
  if (ready) say(cell, "As stored again.");
}
