// The D dial on the page: its words, its controls and its two maps. numbers.js stands before this file, in one function.

// --- the words ---

const number = (x, digits = 2) => Number.isNaN(x) ? "–" : x.toFixed(digits).replace(/^-(0\.0*)$/, "$1").replace("-", "−");
const significant = (x) => x.toLocaleString("en-US", { maximumSignificantDigits: 3 });
const superscript = (n) => [...`${n}`].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");

function tiny(x) {
  if (x === 0) return "0";
  if (x >= 0.001) return `${significant(100 * x)} %`;
  const power = Math.floor(Math.log10(x));
  return `${Math.round(x / 10 ** power)}·10${superscript(power)}`;
}

const MODEL = { product: "Eq. 1", factors: "Eq. 2", decay: "Weight decay on A and B" };

const LETTER = { d: "d", sigma: "σ" };

/** D in words, for whoever listens. */
function describeD({ base, exponent }, list) {
  return list ? "a G for your list" : exponent === 0 ? "D = I" : `D is ${LETTER[base]} to the power ${number(exponent)}`;
}

/** D as a formula in HTML, for whoever looks. */
function formulaD({ base, exponent }, list) {
  if (list) return "a G for your list";
  if (exponent === 0) return "D = I";
  return `<span class="cd-formula">D<sub>ii</sub> = ${LETTER[base]}<sub>i</sub><sup>${number(exponent)}</sup></span>`;
}

/** The same, with what d stands for. */
function definedD(state, list) {
  const ofD = !list && state.base === "d" && state.exponent !== 0;
  const d = "d<sub>i</sub> = σ<sub>i</sub><sup>2</sup>/(σ<sub>i</sub><sup>2</sup> + λ)";
  return formulaD(state, list) + (ofD ? ` with <span class="cd-formula">${d}</span>` : "");
}

/** The list that an input or an address names, as numbers. The map's letters may follow them, as in "40B". */
const numbersOf = (text) => text.split(/[\s,;.]+/).filter(Boolean).map((word) => (/^\d+[a-z]?$/i.test(word) ? parseInt(word, 10) : NaN));

/** Why a list cannot be the neighbors of an item, or "". */
function objection(list, item, p, k) {
  const most = k < p ? Math.max(0, k - 2) : p - 1;
  const odd = list.find((j) => !(j < p));
  if (Number.isNaN(odd)) return "Write the numbers of items, such as 12, 7, 30.";
  if (odd !== undefined) return `There is no item ${odd}: they run from 0 to ${p - 1}.`;
  if (list.includes(item)) return `Item ${item} cannot be its own neighbor.`;
  const twice = list.find((j, place) => list.indexOf(j) < place);
  if (twice !== undefined) return `Item ${twice} stands in the list twice.`;
  return list.length > most ? `At rank ${k} a list has room for ${most} items, and this one has ${list.length}.` : "";
}

const says = (state) => `λ = ${significant(penalty(state))}, rank ${state.k}`;

/** The model and what is compared in it, with D as `tell` tells it. */
function describe(state, list, tell = describeD) {
  const model = `${MODEL[state.objective]} at ${says(state)}`;
  const d = state.objective === "product" ? `, ${tell(state, list)}` : "";
  return {
    items: `${model}${d}: rows of ${list ? "BG⁻ᵀ" : d ? "BD⁻¹" : "B"}.`,
    whitened: `${model}${d}: embeddings, whitened.`,
    scores: `${model}${d}: columns of the scores.`,
    data: "Columns of X: the data themselves.",
  }[state.compare];
}

/** Why the cosines move with D, or do not. */
function explain(state, list) {
  if (state.compare === "data") {
    return "Not an embedding of this model: what you get by leaving the embedding space. No D, no λ and no rank moves it.";
  }
  if (state.compare === "scores") {
    return "Not an embedding of this model: what you get by leaving the embedding space. No D moves it.";
  }
  if (state.compare === "whitened") return "Whitening undoes every D: turn it, and nothing moves.";
  if (state.objective === "factors") return "Eq. 2 leaves no D to turn: its penalty has picked the scale of each direction.";
  if (state.objective === "decay") return "Weight decay leaves no D to turn: it has picked the scale of each direction.";
  return `Training cannot tell this ${list ? "G from any D" : "D from any other"}: the scores are the same.`;
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

/** The same for a formula in HTML. */
function typeset(node, html) {
  if (node.typeset !== html) node.innerHTML = node.typeset = html;
}

// --- the address ---

/** Under this name a dial keeps its state in the address of the page: dial, dial2, … In JupyterLab, whose address is not
 * that of a page of ours, it has none. */
function addressKey(root) {
  if ("jpThemeLight" in document.body.dataset) return null;
  const place = [...document.querySelectorAll(".cossim-dial")].indexOf(root);
  return place ? `dial${place + 1}` : "dial";
}

/** A state as it stands in the address: where it is not as at the start, as in "exponent:-0.5,k:20". */
function asText(state, starts) {
  const moved = Object.entries(starts[state.data]).filter(([name, value]) => state[name] !== value);
  const pairs = moved.map(([name]) => `${name}:${state[name]}`);
  return (state.data === "own" ? pairs : [`data:${state.data}`, ...pairs]).join(",");
}

/** The state that an address names. What cannot be is left as at the start. */
function fromText(text, { starts, sets }, knobs) {
  const named = Object.fromEntries(text.split(",").map((pair) => pair.split(":")));
  const state = { ...(Object.hasOwn(starts, named.data) ? starts[named.data] : starts.own) };
  const { sigma, cluster } = sets[state.data];
  const whole = (low, high) => (value) => Number.isInteger(value) && value >= low && value <= high;
  const [least, most] = cutRange(sigma);
  const fits = {
    exponent: (value) => Math.abs(value) <= 2,
    cut: (value) => Math.log10(value) >= least && Math.log10(value) <= most,
    k: whole(1, sigma.length),
    item: whole(0, cluster.length - 1),
  };
  for (const [name, fit] of Object.entries(fits)) if (named[name] && fit(+named[name])) state[name] = +named[name];
  const list = numbersOf(named.want ?? "");
  if (list.length && !objection(list, state.item, cluster.length, state.k)) state.want = list.join(".");
  for (const name of ["objective", "compare", "base"]) {
    if ([...knobs[name].options].some(({ value }) => value === named[name])) state[name] = named[name];
  }
  return state;
}

/** Takes the state from the address, and brings the dial into view for whoever was sent it. */
function recall({ root, key, data, knobs, state }) {
  const text = key && new URLSearchParams(location.search).get(key);
  if (!text) return;
  Object.assign(state, fromText(text, data, knobs));
  const sent = performance.getEntriesByType("navigation")[0]?.type === "navigate";
  if (sent && !location.hash) addEventListener("load", () => root.scrollIntoView());
}

/** Writes the state to the address, and leaves all else there as it is. */
function remember({ key, data, state }) {
  if (!key) return;
  const pairs = location.search.slice(1).split("&").filter((pair) => pair && !pair.startsWith(`${key}=`));
  const text = asText(state, data.starts);
  if (text) pairs.push(`${key}=${text}`);
  const search = pairs.length ? `?${pairs.join("&")}` : "";
  if (search === location.search) return;
  try {
    history.replaceState(history.state, "", location.pathname + search + location.hash);
  } catch { /* a page without an address of its own, such as a frame */ }
}

// --- the dial ---

/** A dial: what travels with the page, the nodes that show it, and where it stands. `mount` adds the data set. */
function build(root) {
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const find = (selector) => root.querySelector(selector);
  find(".cd-live").innerHTML = data.markup;
  const knobs = Object.fromEntries([...root.querySelectorAll("[data-knob]")].map((knob) => [knob.dataset.knob, knob]));
  const gradient = (colors) => `linear-gradient(to right, ${colors.join(", ")})`;
  find(".cd-items .cd-legend i").style.background = gradient(data.diverging);
  find(".cd-sequential i").style.background = gradient(data.sequential);
  const [map, scoreMap] = root.querySelectorAll("canvas");
  return {
    root, data, find, knobs, map, scoreMap,
    out: (name) => find(`[data-of="${name}"]`),
    buttons: [...root.querySelectorAll("[data-preset]")],
    rows: [...root.querySelectorAll(".cd-neighbors tbody tr")],
    mounted: null, // the data set that the nodes are made for
    state: { ...data.starts.own },
    key: addressKey(root),
    numbers: {},
    list: null, // the neighbors that the reader has named, while some G returns them
    reference: null, // of referenceScores
    frame: null, // the drawing that waits for its frame
    waiting: 0, // the announcement that waits for its time
  };
}

/** The ends of the knob of λ, as powers of ten of the singular value at which it cuts. */
const cutRange = ([largest]) => [
  Math.floor(100 * Math.log10(largest / 1000)) / 100,
  Math.ceil(100 * Math.log10(largest * 10)) / 100,
];

/** Takes up the data set of the state: its numbers, and all nodes that depend on its size. */
function mount(dial) {
  const { root, data, find, knobs, map, scoreMap, state } = dial;
  const set = data.sets[state.data];
  const pairs = unpack(set);
  const { p, r, users, sigma } = pairs;
  knobs.k.max = r;
  [knobs.cut.min, knobs.cut.max] = cutRange(sigma);
  knobs.item.max = p - 1;
  for (const node of root.querySelectorAll("[data-count]")) node.textContent = { items: p, users }[node.dataset.count];
  let edges = "", at = 0;
  for (const size of set.clusterSizes) {
    if (at) edges += `M${at} 0V${p}M0 ${at}H${p}`;
    at += size;
  }
  for (const node of root.querySelectorAll(".cd-letters")) {
    node.replaceChildren(...set.clusterSizes.map((size, c) => {
      const letter = document.createElement("span");
      letter.style.flex = size;
      letter.textContent = set.clusterNames[c];
      return letter;
    }));
  }
  dial.buttons.forEach((button, n) => {
    button.querySelector("small").textContent = says(data.presets[n].set[state.data]);
  });
  find(".cd-edges").setAttribute("d", edges);
  find(".cd-square svg").setAttribute("viewBox", `0 0 ${p} ${p}`);
  Object.assign(dial, {
    set, pairs,
    paintMap: painter(map, p, p, data.diverging),
    paintScores: painter(scoreMap, p, users, data.sequential),
    C: new Float64Array(p * p),
    S: new Float64Array(users * p),
    reference: null,
    mounted: state.data,
  });
}

function draw(dial) {
  const began = performance.now();
  if (dial.mounted !== dial.state.data) mount(dial);
  dial.reference = referenceScores(dial.pairs, dial.state, dial.reference);
  dial.list = listed(dial);
  dial.numbers = evaluate(dial.pairs, dial.state, dial.list, dial.reference, dial.C, dial.S);
  if (!dial.numbers.named?.B) dial.list = null; // no G returns it
  dial.paintMap(dial.C, -1, 1);
  dial.paintScores(dial.S, dial.reference.low, dial.reference.high);
  showNumbers(dial);
  showNeighbors(dial);
  showControls(dial);
  dial.numbers.ms = performance.now() - began;
  dial.root.dataset.ms = dial.numbers.ms.toFixed(2);
  announce(dial);
}

/** The reader's list where a G may return it, or null. */
function listed({ state: { want, item, k, objective }, pairs: { p } }) {
  const list = numbersOf(want);
  return list.length && objective === "product" && !objection(list, item, p, k) ? list : null;
}

/** What became of the reader's list. */
function answer({ state, list, numbers: { named }, pairs: { p }, C }, five) {
  const { want, item, k, objective, compare } = state, asked = numbersOf(want);
  if (!asked.length) return `Filled in: the items that Eq. 5 puts last for item ${item}.`;
  const no = objection(asked, item, p, k);
  if (no) return no;
  if (objective !== "product") return `${MODEL[objective]} leaves no freedom: the list below is the only one. Eq. 1 returns yours.`;
  if (named?.dependent >= 0) return `No model returns it: the vector of item ${named.dependent} depends on those before it.`;
  if (named?.stuck >= 0) return `No model was found: item ${named.stuck} lies in the span of the list, and nothing moves it away.`;
  if (compare !== "items") return "No G moves these cosines. Compare item embeddings, and your list comes back.";
  const back = nearest(C, item, p, asked.length).items.every((j, place) => j === list[place]);
  if (!back) return "Rounding spoils it: this list needs more digits than a browser has.";
  const places = asked.map((j) => 1 + five.findIndex(({ i }) => i === j));
  const [first, their] = list.length === 1 ? ["your item comes first", "it has the place"] :
    [`your ${list.length} items come first, in your order`, list.length > 10 ? "the first has the place" : "they have the places"];
  return `Here it is: ${first}. In Eq. 5 ${their} ${list.length > 10 ? places[0] : places.join(", ")} of ${p - 1}.`;
}

function showNumbers({ find, out, state, list, numbers, reference: { low, high, moved } }) {
  for (const name of ["auc", "precision", "within", "between"]) write(out(name), number(numbers[name]));
  typeset(find(".cd-how .cd-formula"), `(x<sub>u</sub>A${list ? "G)(BG<sup>−T" : "D)(BD<sup>−1"}</sup>)<sup>T</sup>`);
  write(out("low"), number(low));
  write(out("high"), number(high));
  const free = state.objective === "product";
  const still = numbers.change === 0 ? "" : ` by more than ${tiny(numbers.change)} of the largest`;
  write(find(".cd-change"), moved !== null
    ? `Another model now: its scores differ by up to ${tiny(moved)} from the last one’s.${free ? " Turn D, and they stand still." : ""}`
    : free
      ? `The scores stand still: ${list ? "G" : "D"} has moved none of them${still}.`
      : `The scores of ${MODEL[state.objective]}, ${says(state)}.`);
}

function showNeighbors(dial) {
  const { root, find, rows, set, pairs: { V, sigma, p, cluster }, state, list, numbers, C, knobs } = dial;
  const { item } = state, { clusterNames, popularityRank } = set;
  const five = ranking(V, factors(sigma, { ...state, objective: "product", exponent: 0 }).b, p, item);
  root.toggleAttribute("data-list", list !== null);
  write(find(".cd-answer"), answer(dial, five));
  const wrong = objection(numbersOf(state.want), item, p, state.k) !== "";
  knobs.want.setAttribute("aria-invalid", wrong);
  if (!wrong && knobs.want !== document.activeElement) {
    knobs.want.value = (state.want ? numbersOf(state.want) : five.slice(-5).map(({ i }) => i).reverse()).join(", ");
  }
  const { items, ties } = nearest(C, item, p);
  write(find(".cd-who"), `Item ${item}: cluster ${clusterNames[cluster[item]]}, popularity rank ${popularityRank[item]}`);
  rows.forEach((row, place) => {
    row.hidden = ties === "all" || place >= items.length;
    if (row.hidden) return;
    const j = items[place];
    const same = cluster[j] === cluster[item];
    const [name, own, rank, cosine, other] = row.cells;
    row.className = same ? "cd-same" : "";
    write(name, `${j}`);
    write(own, `${clusterNames[cluster[j]]} ${same ? "✓ same" : "✗ other"}`);
    write(rank, `${popularityRank[j]}`);
    write(cosine, number(C[item * p + j]));
    write(other, `${five[place].i} at ${number(five[place].cosine)}`);
  });
  write(find(".cd-ties"), {
    all: `None: all ${p - 1} others are tied at ${number(C[item * p + (item ? 0 : 1)])}.`,
    some: "Others are tied with the last one: which of them is listed is chance.",
    none: "",
  }[ties]);
  const own = items.filter((j) => cluster[j] === cluster[item]).length;
  const listed = ties === "all" ? "" : `${own} of these ${items.length} are of the cluster of item ${item}. `;
  write(find(".cd-share"), Number.isNaN(numbers.auc) ? "" :
    `${listed}Precision@10 is the mean of this share over all ${p} items: ${number(numbers.precision)}. The lowest share is ${number(numbers.worst)}.`);
  const mark = find(".cd-row");
  mark.setAttribute("y", item);
  mark.setAttribute("width", p);
  mark.setAttribute("height", 1);
}

function showControls({ find, out, knobs, buttons, data: { presets }, set, pairs: { r }, state, list, numbers }) {
  const put = (name, value) => {
    if (knobs[name] !== document.activeElement || knobs[name].type !== "number") knobs[name].value = value;
  };
  put("exponent", state.exponent);
  put("cut", Math.log10(state.cut));
  for (const name of ["k", "item", "objective", "compare", "base"]) put(name, state[name]);
  const free = state.objective === "product" && !list;
  knobs.exponent.disabled = knobs.base.disabled = !free;
  const words = {
    exponent: free ? describeD(state) : list ? "G, for your list" : "no D",
    cut: `λ = ${significant(numbers.lam)}`,
    k: `${state.k} of ${r}`,
  };
  for (const [name, text] of Object.entries(words)) {
    if (name !== "exponent") write(out(name), text);
    knobs[name].setAttribute("aria-valuetext", text);
  }
  typeset(out("exponent"), free ? formulaD(state) : words.exponent);
  const on = presets.map((preset) => Object.entries(preset.set[state.data]).every(([name, value]) => state[name] === value));
  buttons.forEach((button, n) => button.setAttribute("aria-pressed", on[n]));
  const notes = presets.filter((preset, n) => on[n] && preset.note).map((preset) => preset.note);
  typeset(out("model"), `${set.words} ${describe(state, list, definedD)}`.trim());
  write(out("notes"), [...notes, explain(state, list)].join(" "));
}

/** Says in words what the maps show, and writes the address, after the hand has come to rest. */
function announce(dial) {
  clearTimeout(dial.waiting);
  dial.waiting = setTimeout(() => {
    remember(dial);
    const { find, map, scoreMap, pairs: { p, users }, state, list, reference: { low, high }, C } = dial;
    const { auc, within, between, allTied } = dial.numbers;
    const summary = Number.isNaN(auc)
      ? `mean cosine ${number(within)}`
      : `cluster AUC ${number(auc)}, mean cosine ${number(within)} within clusters and ${number(between)} between them`;
    map.setAttribute("aria-label", `Heat map of the cosines between ${p} items. ${describe(state, list)} ${summary}.`);
    scoreMap.setAttribute("aria-label", `Heat map of the scores of ${users} users for ${p} items, from ${number(low)} to ${number(high)}. ${find(".cd-change").textContent}`);
    const neighbors = allTied ? "all items tied" : `nearest to item ${state.item}: ${nearest(C, state.item, p).items.slice(0, 3).join(", ")}`;
    const told = state.want && ` ${find(".cd-answer").textContent}`;
    write(find(".cd-unseen"), `${describe(state, list)} ${summary}; ${neighbors}.${told}`);
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
  const { find, knobs, buttons, map, data } = dial;
  const parse = { cut: (text) => Number((10 ** text).toPrecision(5)), exponent: Number, k: Number };
  for (const [name, knob] of Object.entries(knobs)) {
    knob.addEventListener("input", () => {
      if (name === "want") return;
      if (name === "item") {
        const item = Math.round(knob.valueAsNumber);
        if (item >= 0 && item < dial.pairs.p) change(dial, { item });
      } else {
        change(dial, { [name]: parse[name] ? parse[name](knob.value) : knob.value });
      }
    });
  }
  knobs.item.addEventListener("change", () => { knobs.item.value = dial.state.item; });
  buttons.forEach((button, n) => button.addEventListener("click", () => change(dial, data.presets[n].set[dial.state.data])));
  find(".cd-reset").addEventListener("click", () => change(dial, data.starts.own));
  find(".cd-want").addEventListener("submit", (event) => {
    event.preventDefault();
    change(dial, { want: numbersOf(knobs.want.value).join(".") });
  });
  find(".cd-surprise").addEventListener("click", () => {
    const { state: { k, item }, pairs: { p } } = dial;
    const others = Array.from({ length: p }, (_, i) => [Math.random(), i]).filter(([, i]) => i !== item).sort(([x], [y]) => x - y);
    change(dial, { want: others.slice(0, k < p ? Math.max(0, Math.min(5, k - 2)) : 5).map(([, i]) => i).join(".") });
  });
  map.parentElement.addEventListener("click", (event) => {
    const box = map.getBoundingClientRect();
    const { p } = dial.pairs;
    const item = Math.floor(((event.clientY - box.top) / box.height) * p);
    change(dial, { item: Math.min(p - 1, Math.max(0, item)) });
  });
}

function start(root) {
  const dial = build(root);
  dial.find(".cd-address").hidden = !dial.key;
  recall(dial);
  listen(dial);
  root.dataset.ready = "";
  draw(dial);
  root.dial = { // for whoever wants to look behind the picture
    get state() { return { ...dial.state }; },
    get numbers() { return { ...dial.numbers }; },
    get factors() { const { P, B } = dial.numbers.named; return { P: Array.from(P), B: Array.from(B) }; },
    get cosines() { return Array.from(dial.C); },
    get scores() { return Array.from(dial.S); },
    set: (to) => change(dial, to),
    get sigma() { return dial.pairs.sigma; },
    get V() { return dial.pairs.V; },
    cosine: (i, j) => dial.C[i * dial.pairs.p + j],
    neighbors: (i) => nearest(dial.C, i, dial.pairs.p),
  };
}

const own = document.currentScript?.closest(".cossim-dial");
for (const root of own ? [own] : document.querySelectorAll(".cossim-dial")) {
  if (!root.dial) start(root);
}
