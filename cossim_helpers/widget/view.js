// The D dial on the page: its words, its controls and its two maps. numbers.js stands before this file, in one function.

// --- the words ---

const number = (x, digits = 2) => x.toFixed(digits).replace(/^-(0\.0*)$/, "$1").replace("-", "−");
const significant = (x) => x.toLocaleString("en-US", { maximumSignificantDigits: 3 });
const superscript = (n) => [...`${n}`].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");

function tiny(x) {
  if (x === 0) return "0";
  if (x >= 0.001) return `${significant(100 * x)} %`;
  const power = Math.floor(Math.log10(x));
  return `${Math.round(x / 10 ** power)}·10${superscript(power)}`;
}

const MODEL = { product: "Eq. 1", factors: "Eq. 2", decay: "Weight decay on A and B" };

function describeD({ base, exponent }) {
  if (exponent === 0) return "D = I";
  return `D = dMat(${base === "d" ? "d" : "σ"})^${number(exponent)}`;
}

function describe(state) {
  const model = `${MODEL[state.objective]} at λ = ${significant(penalty(state))}, rank ${state.k}`;
  const d = state.objective === "product" ? `, ${describeD(state)}` : "";
  return {
    items: `${model}${d}: rows of ${d ? "BD⁻¹" : "B"}.`,
    whitened: `${model}${d}: embeddings, whitened.`,
    scores: `${model}${d}: columns of the scores.`,
    data: "Columns of X: the data themselves.",
  }[state.compare];
}

/** Why the cosines move with D, or do not. */
function explain(state) {
  if (state.compare === "data") {
    return "Not an embedding of this model: what you get by leaving the embedding space. No D, no λ and no rank moves it.";
  }
  if (state.compare === "scores") {
    return "Not an embedding of this model: what you get by leaving the embedding space. No D moves it.";
  }
  if (state.compare === "whitened") return "Whitening undoes every D: turn it, and nothing moves.";
  if (state.objective === "factors") return "Eq. 2 leaves no D to turn: its penalty has picked the scale of each direction.";
  if (state.objective === "decay") return "Weight decay leaves no D to turn: it has picked the scale of each direction.";
  return "Training cannot tell this D from any other: the scores below are the same.";
}

// --- the page ---

/** A function that paints values from `low` to `high` into a canvas. */
function painter(canvas, width, height, colors) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { alpha: false });
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const lookup = palette(colors);
  return (values, low, high) => {
    paint(values, low, high, lookup, pixels);
    context.putImageData(image, 0, 0);
  };
}

/** Sets a text only where it is another one: a screen reader need not hear it twice. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A dial: what travels with the page, the nodes that show it, and where it stands. */
function build(root) {
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const find = (selector) => root.querySelector(selector);
  find(".cd-live").innerHTML = data.markup;
  const pairs = unpack(data);
  const { p, r, users, sigma } = pairs;
  const knobs = Object.fromEntries([...root.querySelectorAll("[data-knob]")].map((knob) => [knob.dataset.knob, knob]));
  knobs.k.max = r;
  knobs.cut.min = Math.floor(100 * Math.log10(sigma[0] / 1000)) / 100;
  knobs.cut.max = Math.ceil(100 * Math.log10(sigma[0] * 10)) / 100;
  const gradient = (colors) => `linear-gradient(to right, ${colors.join(", ")})`;
  find(".cd-items .cd-legend i").style.background = gradient(data.diverging);
  find(".cd-sequential i").style.background = gradient(data.sequential);
  const [map, scoreMap] = root.querySelectorAll("canvas");
  return {
    root, data, pairs, find, knobs, map, scoreMap,
    out: (name) => find(`[data-of="${name}"]`),
    buttons: [...root.querySelectorAll(".cd-presets button")],
    rows: [...root.querySelectorAll(".cd-neighbors tbody tr")],
    paintMap: painter(map, p, p, data.diverging),
    paintScores: painter(scoreMap, p, users, data.sequential),
    C: new Float64Array(p * p),
    S: new Float64Array(users * p),
    state: { ...data.start },
    numbers: {},
    reference: null, // of referenceScores
    frame: null, // the drawing that waits for its frame
    waiting: 0, // the announcement that waits for its time
  };
}

function draw(dial) {
  const began = performance.now();
  dial.reference = referenceScores(dial.pairs, dial.state, dial.reference);
  dial.numbers = evaluate(dial.pairs, dial.state, dial.reference, dial.C, dial.S);
  dial.paintMap(dial.C, -1, 1);
  dial.paintScores(dial.S, dial.reference.low, dial.reference.high);
  showNumbers(dial);
  showNeighbors(dial);
  showControls(dial);
  dial.numbers.ms = performance.now() - began;
  dial.root.dataset.ms = dial.numbers.ms.toFixed(2);
  announce(dial);
}

function showNumbers({ find, out, state, numbers, reference: { low, high, moved } }) {
  for (const name of ["auc", "precision", "within", "between"]) write(out(name), number(numbers[name]));
  write(out("low"), number(low));
  write(out("high"), number(high));
  const news = moved === null ? "" : `Another model now: its scores differ by up to ${tiny(moved)} from the last one’s. `;
  const where = `${MODEL[state.objective]}, λ = ${significant(numbers.lam)}, rank ${state.k}`;
  write(find(".cd-change"), state.objective === "product"
    ? `${news}Largest difference from the scores at D = I (${where}), relative to the largest score: ${tiny(numbers.change)}.`
    : `${news}The scores of ${where}.`);
}

function showNeighbors({ find, rows, data, pairs: { p, cluster }, state: { item }, C }) {
  const { clusterNames, popularityRank } = data;
  const { items, ties } = nearest(C, item, p);
  write(find(".cd-who"), `Item ${item}: cluster ${clusterNames[cluster[item]]}, popularity rank ${popularityRank[item]}`);
  rows.forEach((row, place) => {
    row.hidden = ties === "all" || place >= items.length;
    if (row.hidden) return;
    const j = items[place];
    const same = cluster[j] === cluster[item];
    const [name, own, rank, cosine] = row.cells;
    row.className = same ? "cd-same" : "";
    write(name, `${j}`);
    write(own, `${clusterNames[cluster[j]]} ${same ? "✓ same" : "✗ other"}`);
    write(rank, `${popularityRank[j]}`);
    write(cosine, number(C[item * p + j]));
  });
  write(find(".cd-ties"), {
    all: `None: all ${p - 1} others are tied at ${number(C[item * p + (item ? 0 : 1)])}.`,
    some: "Others are tied with the last one: which of them is listed is chance.",
    none: "",
  }[ties]);
  const mark = find(".cd-row");
  mark.setAttribute("y", item);
  mark.setAttribute("width", p);
  mark.setAttribute("height", 1);
}

function showControls({ find, out, knobs, buttons, data: { presets }, pairs: { r }, state, numbers }) {
  const put = (name, value) => {
    if (knobs[name] !== document.activeElement || knobs[name].type !== "number") knobs[name].value = value;
  };
  put("exponent", state.exponent);
  put("cut", Math.log10(state.cut));
  for (const name of ["k", "item", "objective", "compare", "base"]) put(name, state[name]);
  const free = state.objective === "product";
  knobs.exponent.disabled = knobs.base.disabled = !free;
  const words = {
    exponent: free ? describeD(state) : "no D",
    cut: `λ = ${significant(numbers.lam)}`,
    k: `${state.k} of ${r}`,
  };
  for (const [name, text] of Object.entries(words)) {
    write(out(name), text);
    knobs[name].setAttribute("aria-valuetext", text);
  }
  const on = presets.map((preset) => Object.entries(preset.set).every(([name, value]) => state[name] === value));
  buttons.forEach((button, n) => button.setAttribute("aria-pressed", on[n]));
  const notes = presets.filter((preset, n) => on[n] && preset.note).map((preset) => preset.note);
  write(find(".cd-note"), [describe(state), ...notes, explain(state)].join(" "));
}

/** Says in words what the maps show, after the hand has come to rest. */
function announce(dial) {
  clearTimeout(dial.waiting);
  dial.waiting = setTimeout(() => {
    const { find, map, scoreMap, pairs: { p, users }, state, reference: { low, high }, C } = dial;
    const { auc, within, between, allTied } = dial.numbers;
    const summary = `cluster AUC ${number(auc)}, mean cosine ${number(within)} within clusters and ${number(between)} between them`;
    map.setAttribute("aria-label", `Heat map of the cosines between ${p} items. ${describe(state)} ${summary}.`);
    scoreMap.setAttribute("aria-label", `Heat map of the scores of ${users} users for ${p} items, from ${number(low)} to ${number(high)}. ${find(".cd-change").textContent}`);
    const neighbors = allTied ? "all items tied" : `nearest to item ${state.item}: ${nearest(C, state.item, p).items.slice(0, 3).join(", ")}`;
    write(find(".cd-unseen"), `${describe(state)} ${summary}; ${neighbors}.`);
  }, 500);
}

/** Changes the state. However many changes arrive, there is one drawing a frame; the promise is kept when it is done. */
function change(dial, to) {
  Object.assign(dial.state, to);
  dial.frame ??= new Promise((drawn) => requestAnimationFrame(() => {
    dial.frame = null;
    draw(dial);
    drawn();
  }));
  return dial.frame;
}

function listen(dial) {
  const { knobs, buttons, map, data: { presets }, pairs: { p } } = dial;
  const parse = { cut: (text) => 10 ** Number(text), exponent: Number, k: Number };
  for (const [name, knob] of Object.entries(knobs)) {
    knob.addEventListener("input", () => {
      if (name === "item") {
        const item = Math.round(knob.valueAsNumber);
        if (item >= 0 && item < p) change(dial, { item });
      } else {
        change(dial, { [name]: parse[name] ? parse[name](knob.value) : knob.value });
      }
    });
  }
  knobs.item.addEventListener("change", () => { knobs.item.value = dial.state.item; });
  buttons.forEach((button, n) => button.addEventListener("click", () => change(dial, presets[n].set)));
  map.parentElement.addEventListener("click", (event) => {
    const box = map.getBoundingClientRect();
    const item = Math.floor(((event.clientY - box.top) / box.height) * p);
    change(dial, { item: Math.min(p - 1, Math.max(0, item)) });
  });
}

function start(root) {
  const dial = build(root);
  listen(dial);
  root.dataset.ready = "";
  draw(dial);
  const { C, S, pairs: { p, sigma, V } } = dial;
  root.dial = { // for whoever wants to look behind the picture
    get state() { return { ...dial.state }; },
    get numbers() { return { ...dial.numbers }; },
    get cosines() { return Array.from(C); },
    get scores() { return Array.from(S); },
    set: (to) => change(dial, to),
    sigma,
    V,
    cosine: (i, j) => C[i * p + j],
    neighbors: (i) => nearest(C, i, p),
  };
}

const own = document.currentScript?.closest(".cossim-dial");
for (const root of own ? [own] : document.querySelectorAll(".cossim-dial")) {
  if (!root.dial) start(root);
}
