// The D dial: every number on it is computed here, from the singular pairs that the page carries. No request, no library.
(() => {
  "use strict";
  const TIE = 1e-6; // cosines this near to each other count as tied
  const BINS = 4000; // of the histogram behind the AUC, from −1 to 1; 0 and ±1 are centers of bins
  const NEIGHBORS = 10;

  // ---- the data

  /** Rows of 16-bit integers, each row with its own scale. */
  function decode({ base64, scale }) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const integers = new DataView(bytes.buffer);
    const matrix = new Float64Array(bytes.length / 2);
    const columns = matrix.length / scale.length;
    for (let i = 0; i < matrix.length; i++) {
      matrix[i] = integers.getInt16(2 * i, true) * scale[Math.floor(i / columns)];
    }
    return matrix;
  }

  /** V (3I − VᵀV)/2: one step of Newton and Schulz towards the orthonormal columns that rounding has disturbed. */
  function orthonormalize(V, p, r) {
    const T = new Float64Array(r * r);
    for (let i = 0; i < p; i++) {
      for (let a = 0; a < r; a++) {
        const x = V[i * r + a];
        for (let b = a; b < r; b++) T[a * r + b] -= (x * V[i * r + b]) / 2;
      }
    }
    for (let a = 0; a < r; a++) {
      T[a * r + a] += 1.5;
      for (let b = 0; b < a; b++) T[a * r + b] = T[b * r + a];
    }
    const W = new Float64Array(p * r);
    for (let i = 0; i < p; i++) {
      for (let a = 0; a < r; a++) {
        const x = V[i * r + a];
        for (let b = 0; b < r; b++) W[i * r + b] += x * T[a * r + b];
      }
    }
    return W;
  }

  // ---- the model

  /** λ cuts at the same singular value in all three objectives: it is cut² in Eq. 1 and decay, cut in Eq. 2. */
  const penalty = ({ objective, cut }) => (objective === "factors" ? cut : cut * cut);

  /** The diagonals a and b of the rescaled factors A D = V dMat(a) and B D⁻¹ = V dMat(b). */
  function factors(sigma, state) {
    const lam = penalty(state);
    const a = new Float64Array(sigma.length);
    const b = new Float64Array(sigma.length);
    for (let l = 0; l < state.k; l++) {
      const s = sigma[l];
      if (state.objective === "product") {
        const d = (s * s) / (s * s + lam); // Eq. 5: A = B = V dMat(d)^½
        const D = (state.base === "d" ? d : s) ** state.exponent;
        a[l] = Math.sqrt(d) * D;
        b[l] = Math.sqrt(d) / D;
      } else if (state.objective === "factors") {
        const root = Math.sqrt(Math.max(s - lam, 0)); // Eq. 6
        a[l] = root / s;
        b[l] = root;
      } else {
        a[l] = b[l] = Math.sqrt(Math.max(1 - lam / (s * s), 0)); // weight decay on A and B
      }
    }
    return { a, b };
  }

  /** w with: the cosines are those between the rows of V dMat(w). */
  function itemWeights(sigma, state, { a, b }) {
    if (state.compare === "data") return sigma; // X = U Σ Vᵀ
    if (state.compare === "whitened") return b.map((x) => (x > 0 ? 1 : 0)); // B (BᵀB)^−½
    if (state.compare === "scores") return b.map((x, l) => sigma[l] * a[l] * x); // X A Bᵀ = U dMat(σ a b) Vᵀ
    return b;
  }

  /** Cosines between the rows of V dMat(w), written to C (p × p); a row of zeros has cosine 0 with everything. */
  function cosines(V, w, p, C) {
    const r = w.length;
    const kept = [];
    for (let l = 0; l < r; l++) if (w[l] !== 0) kept.push(l);
    const m = kept.length;
    const E = new Float64Array(p * m); // rows of length 1
    for (let i = 0; i < p; i++) {
      let square = 0;
      for (let l = 0; l < m; l++) {
        const x = V[i * r + kept[l]] * w[kept[l]];
        E[i * m + l] = x;
        square += x * x;
      }
      const inverse = square > 0 ? 1 / Math.sqrt(square) : 0;
      for (let l = 0; l < m; l++) E[i * m + l] *= inverse;
      C[i * p + i] = square > 0 ? 1 : 0;
    }
    for (let i = 0; i < p; i++) {
      const row = E.subarray(i * m, i * m + m);
      let j = i + 1;
      for (; j + 3 < p; j += 4) { // four products at a time keep the processor busy
        const at = j * m;
        let c0 = 0, c1 = 0, c2 = 0, c3 = 0;
        for (let l = 0; l < m; l++) {
          const x = row[l];
          c0 += x * E[at + l];
          c1 += x * E[at + m + l];
          c2 += x * E[at + 2 * m + l];
          c3 += x * E[at + 3 * m + l];
        }
        C[i * p + j] = C[j * p + i] = c0;
        C[i * p + j + 1] = C[(j + 1) * p + i] = c1;
        C[i * p + j + 2] = C[(j + 2) * p + i] = c2;
        C[i * p + j + 3] = C[(j + 3) * p + i] = c3;
      }
      for (; j < p; j++) {
        let c = 0;
        for (let l = 0; l < m; l++) c += row[l] * E[j * m + l];
        C[i * p + j] = C[j * p + i] = c;
      }
    }
  }

  /** (x_u A D)(B D⁻¹)ᵀ, users × p: both factors are rescaled first, and then multiplied out. */
  function userItemScores(coordinates, V, { a, b }, k, p, S) {
    const r = a.length;
    const Q = new Float64Array(p * k);
    for (let i = 0; i < p; i++) for (let l = 0; l < k; l++) Q[i * k + l] = V[i * r + l] * b[l];
    const P = new Float64Array(k);
    for (let u = 0; u * p < S.length; u++) {
      for (let l = 0; l < k; l++) P[l] = coordinates[u * r + l] * a[l];
      for (let i = 0; i < p; i++) {
        let score = 0;
        for (let l = 0; l < k; l++) score += P[l] * Q[i * k + l];
        S[u * p + i] = score;
      }
    }
  }

  // ---- the yardsticks

  /** AUC by a histogram. A pair of pairs within a bin counts ½, so the AUC is right to `aucError`. */
  function clusterNumbers(C, cluster, p) {
    const same = new Float64Array(BINS + 1);
    const different = new Float64Array(BINS + 1);
    let nSame = 0, nDifferent = 0, sumSame = 0, sumDifferent = 0;
    for (let i = 0; i < p; i++) {
      for (let j = i + 1; j < p; j++) {
        const c = C[i * p + j];
        const bin = Math.min(BINS, Math.max(0, Math.round(((c + 1) / 2) * BINS)));
        if (cluster[i] === cluster[j]) {
          same[bin]++;
          nSame++;
          sumSame += c;
        } else {
          different[bin]++;
          nDifferent++;
          sumDifferent += c;
        }
      }
    }
    let below = 0, wins = 0, unresolved = 0;
    for (let bin = 0; bin <= BINS; bin++) {
      wins += same[bin] * (below + different[bin] / 2);
      unresolved += (same[bin] * different[bin]) / 2;
      below += different[bin];
    }
    return {
      auc: wins / (nSame * nDifferent),
      aucError: unresolved / (nSame * nDifferent),
      within: sumSame / nSame,
      between: sumDifferent / nDifferent,
    };
  }

  /** Share of the nearest neighbors in the item's own cluster, by expectation where ties decide; and are all tied? */
  function precision(C, cluster, p) {
    const count = Math.min(NEIGHBORS, p - 1);
    const best = new Float64Array(count); // the largest of a row, falling
    let total = 0, spread = 0;
    for (let i = 0; i < p; i++) {
      best.fill(-Infinity);
      let lowest = Infinity;
      for (let j = 0; j < p; j++) {
        if (j === i) continue;
        const c = C[i * p + j];
        if (c < lowest) lowest = c;
        if (c <= best[count - 1]) continue;
        let place = count - 1;
        for (; place > 0 && best[place - 1] < c; place--) best[place] = best[place - 1];
        best[place] = c;
      }
      spread = Math.max(spread, best[0] - lowest);
      const last = best[count - 1];
      let above = 0, tied = 0, aboveSame = 0, tiedSame = 0;
      for (let j = 0; j < p; j++) {
        const c = C[i * p + j];
        if (j === i || c < last - TIE) continue;
        const same = cluster[i] === cluster[j] ? 1 : 0;
        if (c > last + TIE) {
          above++;
          aboveSame += same;
        } else {
          tied++;
          tiedSame += same;
        }
      }
      total += aboveSame + (tiedSame * (count - above)) / tied;
    }
    return { precision: total / (count * p), allTied: spread <= TIE };
  }

  /** The nearest neighbors of item i, nearest first, and what ties make of them: "none", "some" or "all". */
  function nearest(C, i, p) {
    const count = Math.min(NEIGHBORS, p - 1);
    const order = [];
    for (let j = 0; j < p; j++) if (j !== i) order.push(j);
    order.sort((j, l) => C[i * p + l] - C[i * p + j]);
    const at = (place) => C[i * p + order[place]];
    const ties = at(0) - at(p - 2) <= TIE ? "all" : p - 1 > count && at(count - 1) - at(count) <= TIE ? "some" : "none";
    return { items: order.slice(0, count), ties };
  }

  // ---- colors and words

  /** 256 colors as 32-bit pixels, from a few hexadecimal ones. */
  function palette(colors) {
    const anchors = colors.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
    const pixels = new Uint8ClampedArray(4 * 256).fill(255);
    for (let n = 0; n < 256; n++) {
      const place = (n / 255) * (anchors.length - 1);
      const left = Math.min(Math.floor(place), anchors.length - 2);
      for (let c = 0; c < 3; c++) {
        pixels[4 * n + c] = Math.round(anchors[left][c] + (place - left) * (anchors[left + 1][c] - anchors[left][c]));
      }
    }
    return new Uint32Array(pixels.buffer);
  }

  function painter(canvas, width, height, colors) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { alpha: false });
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const lookup = palette(colors);
    return (values, low, high) => {
      const scale = 255 / (high - low || 1);
      for (let i = 0; i < pixels.length; i++) {
        const n = (values[i] - low) * scale + 0.5;
        pixels[i] = lookup[n < 0 ? 0 : n > 255 ? 255 : n | 0];
      }
      context.putImageData(image, 0, 0);
    };
  }

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

  // ---- the page

  function start(root) {
    const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
    const find = (selector) => root.querySelector(selector);
    find(".cd-live").innerHTML = data.markup;
    const out = (name) => find(`[data-of="${name}"]`);
    const write = (node, text) => {
      if (node.textContent !== text) node.textContent = text;
    };
    const { cluster, popularityRank, clusterNames, presets } = data;
    const p = cluster.length;
    const sigma = Float64Array.from(data.sigma);
    const r = sigma.length;
    const V = orthonormalize(decode(data.V), p, r);
    const coordinates = decode(data.users);
    const users = data.users.scale.length;

    const state = { ...data.start };
    const C = new Float64Array(p * p);
    const S = new Float64Array(users * p);
    const reference = new Float64Array(users * p); // the scores at D = I
    let model = "", news = "", low = 0, high = 1, largest = 1;
    let numbers = {};

    const knobs = Object.fromEntries([...root.querySelectorAll("[data-knob]")].map((knob) => [knob.dataset.knob, knob]));
    const buttons = [...root.querySelectorAll(".cd-presets button")];
    const [map, scoreMap] = root.querySelectorAll("canvas");
    const paintMap = painter(map, p, p, data.diverging);
    const paintScores = painter(scoreMap, p, users, data.sequential);
    const rows = [...root.querySelectorAll(".cd-neighbors tbody tr")];

    knobs.k.max = r;
    knobs.cut.min = Math.floor(100 * Math.log10(sigma[0] / 1000)) / 100;
    knobs.cut.max = Math.ceil(100 * Math.log10(sigma[0] * 10)) / 100;

    /** The scores' reference belongs to a λ, a rank and an objective: renew it when one of them moves. */
    function renewReference() {
      const now = `${state.objective} ${state.cut} ${state.k}`;
      if (now === model) {
        news = "";
        return;
      }
      const before = reference.slice();
      userItemScores(coordinates, V, factors(sigma, { ...state, exponent: 0 }), state.k, p, reference);
      let moved = 0, size = 0;
      low = Infinity;
      high = -Infinity;
      for (let i = 0; i < reference.length; i++) {
        moved = Math.max(moved, Math.abs(reference[i] - before[i]));
        size = Math.max(size, Math.abs(before[i]));
        low = Math.min(low, reference[i]);
        high = Math.max(high, reference[i]);
      }
      largest = Math.max(-low, high);
      news = model && size ? `Another model now: its scores differ by up to ${tiny(moved / size)} from the last one’s. ` : "";
      model = now;
    }

    function draw() {
      const began = performance.now();
      renewReference();
      const fit = factors(sigma, state);
      cosines(V, itemWeights(sigma, state, fit), p, C);
      userItemScores(coordinates, V, fit, state.k, p, S);
      let change = 0;
      for (let i = 0; i < S.length; i++) change = Math.max(change, Math.abs(S[i] - reference[i]));
      numbers = {
        ...clusterNumbers(C, cluster, p),
        ...precision(C, cluster, p),
        change: largest > 0 ? change / largest : 0,
        lam: penalty(state),
      };
      paintMap(C, -1, 1);
      paintScores(S, low, high);
      showNumbers();
      showNeighbors();
      showControls();
      numbers.ms = performance.now() - began;
      root.dataset.ms = numbers.ms.toFixed(2);
      announce();
    }

    function showNumbers() {
      for (const name of ["auc", "precision", "within", "between"]) write(out(name), number(numbers[name]));
      write(out("low"), number(low));
      write(out("high"), number(high));
      const where = `${MODEL[state.objective]}, λ = ${significant(numbers.lam)}, rank ${state.k}`;
      write(find(".cd-change"), state.objective === "product"
        ? `${news}Largest difference from the scores at D = I (${where}), relative to the largest score: ${tiny(numbers.change)}.`
        : `${news}The scores of ${where}.`);
    }

    function showNeighbors() {
      const { items, ties } = nearest(C, state.item, p);
      write(find(".cd-who"), `Item ${state.item}: cluster ${clusterNames[cluster[state.item]]}, popularity rank ${popularityRank[state.item]}`);
      rows.forEach((row, place) => {
        row.hidden = ties === "all" || place >= items.length;
        if (row.hidden) return;
        const j = items[place];
        const same = cluster[j] === cluster[state.item];
        const [item, own, rank, cosine] = row.cells;
        row.className = same ? "cd-same" : "";
        write(item, `${j}`);
        write(own, `${clusterNames[cluster[j]]} ${same ? "✓ same" : "✗ other"}`);
        write(rank, `${popularityRank[j]}`);
        write(cosine, number(C[state.item * p + j]));
      });
      write(find(".cd-ties"), {
        all: `None: all ${p - 1} others are tied at ${number(C[state.item * p + (state.item ? 0 : 1)])}.`,
        some: "Others are tied with the last one: which of them is listed is chance.",
        none: "",
      }[ties]);
      const mark = find(".cd-row");
      mark.setAttribute("y", state.item);
      mark.setAttribute("width", p);
      mark.setAttribute("height", 1);
    }

    function showControls() {
      const set = (name, value) => {
        if (knobs[name] !== document.activeElement || knobs[name].type !== "number") knobs[name].value = value;
      };
      set("exponent", state.exponent);
      set("cut", Math.log10(state.cut));
      for (const name of ["k", "item", "objective", "compare", "base"]) set(name, state[name]);
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

    let waiting = 0;
    function announce() { // after the hand has come to rest
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        const { auc, within, between, allTied } = numbers;
        const summary = `cluster AUC ${number(auc)}, mean cosine ${number(within)} within clusters and ${number(between)} between them`;
        map.setAttribute("aria-label", `Heat map of the cosines between ${p} items. ${describe(state)} ${summary}.`);
        scoreMap.setAttribute("aria-label", `Heat map of the scores of ${users} users for ${p} items, from ${number(low)} to ${number(high)}. ${find(".cd-change").textContent}`);
        const neighbors = allTied ? "all items tied" : `nearest to item ${state.item}: ${nearest(C, state.item, p).items.slice(0, 3).join(", ")}`;
        write(find(".cd-unseen"), `${describe(state)} ${summary}; ${neighbors}.`);
      }, 500);
    }

    let frame = null; // however many events arrive, one drawing a frame
    function set(change) {
      Object.assign(state, change);
      frame ??= new Promise((drawn) => requestAnimationFrame(() => {
        frame = null;
        draw();
        drawn();
      }));
      return frame;
    }

    const parse = { cut: (text) => 10 ** Number(text), exponent: Number, k: Number };
    for (const [name, knob] of Object.entries(knobs)) {
      knob.addEventListener("input", () => {
        if (name === "item") {
          const item = Math.round(knob.valueAsNumber);
          if (item >= 0 && item < p) set({ item });
        } else {
          set({ [name]: parse[name] ? parse[name](knob.value) : knob.value });
        }
      });
    }
    knobs.item.addEventListener("change", () => { knobs.item.value = state.item; });
    buttons.forEach((button, n) => button.addEventListener("click", () => set(presets[n].set)));
    map.parentElement.addEventListener("click", (event) => {
      const box = map.getBoundingClientRect();
      const item = Math.floor(((event.clientY - box.top) / box.height) * p);
      set({ item: Math.min(p - 1, Math.max(0, item)) });
    });

    find(".cd-items .cd-legend i").style.background = `linear-gradient(to right, ${data.diverging.join(", ")})`;
    find(".cd-sequential i").style.background = `linear-gradient(to right, ${data.sequential.join(", ")})`;
    root.dataset.ready = "";
    draw();
    root.dial = { // for whoever wants to look behind the picture
      get state() { return { ...state }; },
      get numbers() { return { ...numbers }; },
      get cosines() { return Array.from(C); },
      get scores() { return Array.from(S); },
      set,
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
})();
