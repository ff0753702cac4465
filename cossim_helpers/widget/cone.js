// The cone: probabilities stand still, cosines slide. All numbers are computed here from the vectors themselves.
"use strict";

// --- the numbers; nothing here touches the page ---

const sine = (degrees) => Math.sin((degrees * Math.PI) / 180);
const degrees = (sine) => (Math.asin(Math.min(1, sine)) * 180) / Math.PI;

/** A unit vector: `off` of it is off the axis (0, 0, 1), in the direction `around` degrees. */
const vector = (around, off) => [off * sine(around + 90), off * sine(around), Math.sqrt(1 - off * off)];
const dot = (x, y) => x[0] * y[0] + x[1] * y[1] + x[2] * y[2];

/** s, and the lengths of all parts off the axis: of the items, and of each user. s times their products stays. */
function model({ lengths, scale, theta }, state) {
  const two = state.loss === "two", free = state.scale === "learned", start = sine(theta);
  const least = free ? 0 : degrees(start * (two ? start : Math.max(...lengths))); // no user's part grows beyond 1
  const item = sine(Math.max(state.items, least));
  const user = free ? sine(state.users) : Math.min(1, (start * start) / item); // of two cones
  return {
    least, item,
    users: lengths.map((length) => (two ? user : free ? length : Math.min(1, (length * start) / item))),
    s: free ? (scale * start * (two ? start / user : 1)) / item : scale,
  };
}

/** Softmax of each row. */
const softmax = (rows) => rows.map((row) => {
  const powers = row.map((x) => Math.exp(x - Math.max(...row)));
  const total = powers.reduce((sum, x) => sum + x);
  return powers.map((x) => x / total);
});
const turned = (rows) => rows[0].map((_, i) => rows.map((row) => row[i]));

/** The vectors of a state, what the loss sees of them, and the cosines between the items. */
function evaluate(data, state) {
  const { least, item, users, s } = model(data, state);
  const Q = data.items.map((around) => vector(around, item));
  const P = data.users.map((around, u) => vector(around, users[u]));
  const scores = P.map((z) => Q.map((x) => s * dot(z, x)));
  const cosines = Q.map((x) => Q.map((y) => dot(x, y)));
  const pairs = cosines.flatMap((row, i) => row.slice(0, i));
  return {
    P, Q, s, least, cosines, pairs,
    theta: degrees(item),
    usersTheta: degrees(Math.max(...users)),
    chances: softmax(scores), // of the items, for each user
    seen: state.loss === "two" ? [...softmax(scores), ...softmax(turned(scores))] : softmax(scores),
    mean: pairs.reduce((sum, x) => sum + x) / pairs.length,
    above: pairs.filter((x) => x > 0.7).length,
  };
}

/** Largest change of a probability, and pairs of pairs whose order has turned round. */
function compare(now, before) {
  const change = Math.max(...now.seen.flatMap((row, u) => row.map((x, i) => Math.abs(x - before.seen[u][i]))));
  let swapped = 0;
  now.pairs.forEach((x, i) => now.pairs.forEach((y, j) => { swapped += x > y && before.pairs[i] < before.pairs[j]; }));
  return { change, swapped };
}

// --- the page ---

const fixed = (x, digits = 2) => x.toFixed(digits).replace(/^-(0\.0*)$/, "$1").replace("-", "−");
const superscript = (digits) => [...digits].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
const tiny = (x) => x.toExponential(0).replace(/e-(\d+)/, (_, power) => `·10⁻${superscript(power)}`);
const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };

/** The cone from the side: items are dots, users squares. */
function drawing({ P, Q }, { user, item }) {
  const at = ([x, y, z]) => [100 * x, 34 * y - 94 * z].map((each) => each.toFixed(1));
  const mark = (shape, v, chosen) => {
    const [x, y] = at(v), size = chosen ? 6 : 4;
    return `<g class="${shape}${chosen ? " co-chosen" : ""}"><path d="M0 0 ${x} ${y}"/>${shape === "co-user"
      ? `<rect x="${x - size}" y="${y - size}" width="${2 * size}" height="${2 * size}"/>`
      : `<circle cx="${x}" cy="${y}" r="${size}"/>`}</g>`;
  };
  return `<path class="co-ball" d="M-100 0A100 34 0 1 0 100 0A100 34 0 1 0 -100 0A100 100 0 0 1 100 0M0 0V-112"/>${
    Q.map((v, i) => mark("co-item", v, `${i}` === item)).join("")}${P.map((v, u) => mark("co-user", v, `${u}` === user)).join("")}`;
}

function start(root) {
  const data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const find = (selector) => root.querySelector(selector);
  find(".co-live").innerHTML = data.markup;
  const knobs = Object.fromEntries([...root.querySelectorAll("[data-knob]")].map((knob) => [knob.dataset.knob, knob]));
  const out = (name) => find(`[data-of="${name}"]`);
  const rows = (name) => [...root.querySelectorAll(`[data-bars="${name}"] tr`)];
  const begin = { loss: "one", scale: "learned", items: data.theta, users: data.theta, user: "0", item: "0" };
  const state = { ...begin };
  const place = [...document.querySelectorAll(".cossim-cone")].indexOf(root);
  const key = "jpThemeLight" in document.body.dataset ? null : place ? `cone${place + 1}` : "cone";
  let now, waiting;

  function draw() {
    const least = Math.max(5, Math.ceil(model(data, state).least));
    state.items = Math.max(state.items, least);
    now = evaluate(data, state);
    Object.assign(now, compare(now, evaluate(data, { ...begin, loss: state.loss })));
    for (const [name, knob] of Object.entries(knobs)) knob.value = state[name];
    knobs.items.min = least;
    knobs.users.value = now.usersTheta;
    knobs.users.disabled = state.scale === "fixed";
    knobs.users.closest("label").hidden = state.loss === "one";
    const texts = {
      items: `${fixed(now.theta, 0)}°`, users: `${fixed(now.usersTheta, 0)}°`, s: fixed(now.s), mean: fixed(now.mean),
      where: `${fixed(now.theta, 0)}°`, theirs: state.loss === "two" ? `, ${fixed(now.usersTheta, 0)}°` : "",
      above: `${now.above} of ${now.pairs.length}`, swapped: `${now.swapped}`, note: note(),
      change: `No probability has moved${now.change ? ` by more than ${tiny(now.change)}` : ""}.`,
    };
    for (const [name, text] of Object.entries(texts)) write(out(name), text);
    for (const name of ["items", "users"]) knobs[name].setAttribute("aria-valuetext", `${texts[name]} from the axis`);
    find("svg").innerHTML = drawing(now, state);
    find("svg").setAttribute("aria-label", `${data.items.length} items on a cone, ${texts.items} from its axis`);
    rows("chances").forEach((row, i) => bar(row, now.chances[state.user][i], 0, 1));
    rows("cosines").forEach((row, i) => bar(row, now.cosines[state.item][i], 0.5, 0.5));
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      remember();
      write(out("said"), `${texts.items}: mean cosine ${texts.mean}, ${texts.above} pairs above 0.7. ${texts.change}`);
    }, 500);
  }

  function bar(row, value, from, scale) {
    const [box, text] = row.querySelectorAll("td");
    box.style.setProperty("--from", from + Math.min(0, value * scale));
    box.style.setProperty("--size", Math.abs(value * scale));
    write(text, fixed(value));
  }

  function note() {
    const end = ` Below ${fixed(now.least, 0)}° a user’s vector would have to be longer than 1.`;
    return {
      onelearned: "The softmax over the items sees s·sin θ. As the cone closes, s grows; no user moves.",
      onefixed: `The softmax over the items sees s·sin θ. As the cone closes, the users lean away from the axis.${end}`,
      twolearned: "Both softmaxes see s·sin θ·sin θ′, with an angle for each cone. As s is learned, each moves by itself.",
      twofixed: `Both softmaxes see s·sin θ·sin θ′, with an angle for each cone. As one closes, the other opens.${end}`,
    }[state.loss + state.scale];
  }

  /** Writes the state to the address of the page, and leaves all else there as it is. */
  function remember() {
    if (!key) return;
    const pairs = location.search.slice(1).split("&").filter((pair) => pair && !pair.startsWith(`${key}=`));
    const moved = Object.keys(begin).filter((name) => state[name] !== begin[name]);
    if (moved.length) pairs.push(`${key}=${moved.map((name) => `${name}:${state[name]}`).join(",")}`);
    const search = pairs.length ? `?${pairs.join("&")}` : "";
    try {
      if (search !== location.search) history.replaceState(history.state, "", location.pathname + search + location.hash);
    } catch { /* a page without an address of its own, such as a frame */ }
  }

  /** Takes over what can be, and leaves the rest as it is. */
  function change(to) {
    for (const [name, knob] of Object.entries(knobs)) {
      const value = knob.options ? `${to[name]}` : +to[name];
      const fits = knob.options ? [...knob.options].some((each) => each.value === value) : value >= 5 && value <= 90;
      if (name in to && fits) state[name] = knob.options ? value : Math.round(value);
    }
    draw();
  }

  for (const [name, knob] of Object.entries(knobs)) knob.addEventListener("input", () => change({ [name]: knob.value }));
  find("button").addEventListener("click", () => change(begin));
  const sent = key && new URLSearchParams(location.search).get(key);
  change(Object.fromEntries((sent || "").split(",").map((pair) => pair.split(":"))));
  if (sent && !location.hash) addEventListener("load", () => root.scrollIntoView());
  root.dataset.ready = "";
  root.cone = { set: change, get state() { return { ...state }; }, get numbers() { return now; } };
}

const own = document.currentScript?.closest(".cossim-cone");
for (const root of own ? [own] : document.querySelectorAll(".cossim-cone")) if (!root.cone) start(root);
