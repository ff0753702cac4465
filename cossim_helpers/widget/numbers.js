// The numbers of the D dial: all are computed here, from the singular pairs that the page carries. Nothing in this file
// touches the page. The page runs it together with view.js, in one function, so that neither leaves a global name.
"use strict";

const TIE = 1e-6; // cosines this near to each other count as tied
const BINS = 4000; // of the histogram behind the AUC, from −1 to 1; 0 and ±1 are centers of bins
const NEIGHBORS = 10;

// --- the data ---

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

/** A data set that travels with the page, with its matrices decoded. */
function unpack(data) {
  const p = data.cluster.length;
  const sigma = Float64Array.from(data.sigma);
  return {
    p,
    r: sigma.length,
    users: data.users.scale.length,
    sigma,
    V: orthonormalize(decode(data.V), p, sigma.length),
    coordinates: decode(data.users),
    cluster: data.cluster,
  };
}

// --- the model ---

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

/** The scores at D = I. They belong to a λ, a rank and an objective: as long as none of these moves, `last` holds. */
function referenceScores({ sigma, V, coordinates, users, p }, state, last) {
  const model = `${state.objective} ${state.cut} ${state.k}`;
  if (last && last.model === model) return { ...last, moved: null };
  const scores = new Float64Array(users * p);
  userItemScores(coordinates, V, factors(sigma, { ...state, exponent: 0 }), state.k, p, scores);
  let low = Infinity, high = -Infinity;
  for (const score of scores) {
    low = Math.min(low, score);
    high = Math.max(high, score);
  }
  const size = last ? Math.max(-last.low, last.high) : 0;
  return {
    model, scores, low, high,
    largest: Math.max(-low, high),
    moved: size > 0 ? largestDifference(scores, last.scores) / size : null, // from the last model's scores, if there was one
  };
}

function largestDifference(x, y) {
  let largest = 0;
  for (let i = 0; i < x.length; i++) largest = Math.max(largest, Math.abs(x[i] - y[i]));
  return largest;
}

// --- a model with the neighbors that the reader names ---

const APART = 1e-8; // a row that leaves a span by no more than this part of its length lies in it
const inner = (x, y) => x.reduce((sum, value, l) => sum + value * y[l], 0);

/** L and Q of V_J = L Qᵀ for the rows J of V, by Gram and Schmidt, twice; or the first row that depends on the others. */
function triangular(rows) {
  const Q = [], L = [];
  for (const [place, row] of rows.entries()) {
    const left = row.slice(), along = new Float64Array(rows.length);
    for (let twice = 0; twice < 2; twice++) {
      Q.forEach((q, l) => {
        const part = inner(q, left);
        along[l] += part;
        for (let at = 0; at < q.length; at++) left[at] -= part * q[at];
      });
    }
    along[place] = Math.sqrt(inner(left, left));
    if (!(along[place] > APART * Math.sqrt(inner(row, row)))) return { dependent: place };
    Q.push(left.map((x) => x / along[place]));
    L.push(along);
  }
  return { L, Q };
}

/** AG and BG⁻ᵀ of Eq. 1 for a G with which `list`, in this order, are the nearest neighbors of `item`. It is the G of
 * factors_with_neighbors in the book's library: on the span of V_J, J = (item, ...list), a free choice, of cosines that
 * fall from 0.9 to 0.6; what is left of each row is stretched until no other item comes near. Or { dependent } or { stuck }:
 * the item that is in the way. */
function factorsWithNeighbors({ V, coordinates, p, users }, { a, b }, k, item, list) {
  const r = a.length, chosen = [item, ...list], count = chosen.length;
  const row = (i) => V.subarray(i * r, i * r + k);
  const { L, Q, dependent } = triangular(chosen.map(row));
  if (dependent !== undefined) return { dependent: chosen[dependent] };
  const length = chosen.map((i) => Math.sqrt(inner(row(i), row(i))));
  const wanted = chosen.map((_, l) => (l ? 0.9 - (0.3 * (l - 1)) / Math.max(1, count - 2) : 1));
  const rest = wanted.map((c) => Math.sqrt(1 - c * c));
  /** x as its coordinates u along Q, and what is left of it. */
  const split = (x) => {
    const u = Q.map((q) => inner(q, x)), left = x.slice();
    Q.forEach((q, l) => { for (let at = 0; at < k; at++) left[at] -= u[l] * q[at]; });
    return { u, left };
  };
  const join = (into, { y, left }, stretch) => {
    for (let at = 0; at < k; at++) into[at] = stretch * left[at];
    Q.forEach((q, l) => { for (let at = 0; at < k; at++) into[at] += y[l] * q[at]; });
  };
  const items = Array.from({ length: p }, (_, i) => {
    const { u, left } = split(row(i)), y = new Float64Array(count);
    if (chosen.includes(i)) left.fill(0); // it lies in the span; the stretch would multiply what rounding leaves of it
    for (let l = count - 1; l >= 0; l--) { // u L⁻¹ dMat(length) H, with H Hᵀ the wanted cosines
      const part = u[l] / L[l][l];
      for (let at = 0; at < l; at++) u[at] -= part * L[l][at];
      y[0] += part * length[l] * wanted[l];
      if (l) y[l] = part * length[l] * rest[l];
    }
    return { y, left };
  });
  let square = 1;
  const most = 0.9 * wanted[count - 1]; // of the cosines of all others
  for (let i = 0; i < p; i++) {
    const { y, left } = items[i], missing = y[0] > 0 && !chosen.includes(i) ? (y[0] / most) ** 2 - inner(y, y) : 0;
    if (missing <= 0) continue;
    if (inner(left, left) <= APART ** 2 * inner(row(i), row(i))) return { stuck: i };
    square = Math.max(square, missing / inner(left, left));
  }
  const P = new Float64Array(users * k), B = new Float64Array(p * k), t = Math.sqrt(square);
  items.forEach((each, i) => join(B.subarray(i * k, i * k + k), each, t));
  for (let u = 0; u < users; u++) {
    const scaled = coordinates.subarray(u * r, u * r + k).map((x, l) => x * a[l] * b[l]);
    const { u: w, left } = split(scaled);
    const y = w.map((_, l) => L[l].reduce((sum, x, at) => sum + x * (w[at] ?? 0), 0) / length[l]); // the inverse transpose
    for (let l = 1; l < count; l++) y[l] = (y[l] - wanted[l] * y[0]) / rest[l];
    join(P.subarray(u * k, u * k + k), { y, left }, 1 / t);
  }
  return { P, B, one: new Float64Array(k).fill(1) };
}

/** All others, most similar first, by the cosines between the rows of V dMat(w). */
function ranking(V, w, p, item) {
  const r = w.length;
  const rows = Array.from({ length: p }, (_, i) => V.subarray(i * r, i * r + r).map((x, l) => x * w[l]));
  const size = rows.map((row) => Math.sqrt(inner(row, row)) || 1);
  const cosine = rows.map((row, i) => inner(row, rows[item]) / (size[i] * size[item]));
  return rows.map((_, i) => i).filter((i) => i !== item).sort((i, j) => cosine[j] - cosine[i]).map((i) => ({ i, cosine: cosine[i] }));
}

// --- the yardsticks ---

/** AUC by a histogram. A pair of pairs within a bin counts ½, so the AUC is right to `aucError`. NaN: no such pairs. */
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

/** Share of the nearest neighbors in the item's own cluster, by expectation where ties decide: its mean over the items,
 * and the worst of them. And are all tied? */
function precision(C, cluster, p) {
  const count = Math.min(NEIGHBORS, p - 1);
  const best = new Float64Array(count); // the largest of a row, falling
  let total = 0, worst = 1, spread = 0;
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
    const share = (aboveSame + (tiedSame * (count - above)) / tied) / count;
    total += share;
    worst = Math.min(worst, share);
  }
  return { precision: total / p, worst, allTied: p > 2 && spread <= TIE };
}

/** The nearest neighbors of item i, nearest first, and what ties make of them: "none", "some" or "all". */
function nearest(C, i, p, most = NEIGHBORS) {
  const count = Math.min(most, p - 1);
  const order = [];
  for (let j = 0; j < p; j++) if (j !== i) order.push(j);
  order.sort((j, l) => C[i * p + l] - C[i * p + j]);
  const at = (place) => C[i * p + order[place]];
  const ties = p > 2 && at(0) - at(p - 2) <= TIE ? "all" : p - 1 > count && at(count - 1) - at(count) <= TIE ? "some" : "none";
  return { items: order.slice(0, count), ties };
}

/** Writes a state's cosines to C and its scores to S; returns what the dial says of them. `list` is the reader's. */
function evaluate(pairs, state, list, reference, C, S) {
  const { sigma, V, coordinates, cluster, p } = pairs;
  const fit = factors(sigma, state);
  const named = list && factorsWithNeighbors(pairs, fit, state.k, state.item, list);
  if (named?.B && state.compare === "items") cosines(named.B, named.one, p, C);
  else cosines(V, itemWeights(sigma, state, fit), p, C);
  if (named?.B) userItemScores(named.P, named.B, { a: named.one, b: named.one }, state.k, p, S);
  else userItemScores(coordinates, V, fit, state.k, p, S);
  return {
    named,
    ...clusterNumbers(C, cluster, p),
    ...precision(C, cluster, p),
    change: reference.largest > 0 ? largestDifference(S, reference.scores) / reference.largest : 0,
    lam: penalty(state),
  };
}

// --- the colors ---

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

/** Paints values from `low` to `high` into pixels, with the 256 colors of a palette. */
function paint(values, low, high, lookup, pixels) {
  const scale = 255 / (high - low || 1);
  for (let i = 0; i < pixels.length; i++) {
    const n = (values[i] - low) * scale + 0.5;
    pixels[i] = lookup[n < 0 ? 0 : n > 255 ? 255 : n | 0];
  }
}
