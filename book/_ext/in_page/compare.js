// What a cell shows here, against what the book stores: in words, or nothing where they are the same.

const lines = (text) => (text ? text.replace(/\n$/, "").split("\n") : []);

// What a piece of HTML says, without its markup.
const said = (html) => {
  const { body } = new DOMParser().parseFromString(html, "text/html");
  body.querySelectorAll("script, style").forEach((part) => part.remove());
  return [...body.querySelectorAll("*")].flatMap((each) => [...each.childNodes])
    .filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()).map((node) => node.data.trim()).join("\n");
};

// Outputs as the store has them: what is printed is one text, whatever the pieces; other texts by kind.
export function gathered(outputs) {
  const texts = {}, figures = [];
  for (const { output_type: type, name, text, data = {}, axes, ename, evalue } of outputs) {
    if (type === "stream") texts[name] = [(texts[name]?.[0] ?? "") + text];
    if (type === "error") texts.error = [`${ename}: ${evalue}`];
    for (const kind of ["text/plain", "text/html"]) if (kind in data) (texts[kind] ??= []).push(data[kind]);
    if ("image/png" in data && !("text/html" in data)) {
      figures.push({ picture: `data:image/png;base64,${data["image/png"]}`, axes });
    }
  }
  return { texts, figures };
}

// The lines of one text that the other does not have, as often as it has them.
export function newLines(text, other) {
  const left = new Map();
  for (const line of lines(other)) left.set(line, (left.get(line) ?? 0) + 1);
  return lines(text).map((line) => {
    const known = left.get(line) ?? 0;
    left.set(line, known - 1);
    return known <= 0;
  });
}

function ofTexts(stored, here) {
  const words = [], names = { stdout: "what it prints", stderr: "warnings", error: "the error" };
  for (const [kind, name] of Object.entries(names)) {
    const [before = "", now = ""] = [stored[kind]?.[0], here[kind]?.[0]];
    if (before === now) continue;
    const count = Math.max(...[[now, before], [before, now]].map(([a, b]) => newLines(a, b).filter(Boolean).length));
    words.push(kind === "stdout" && before ? `${Math.max(count, 1)} of ${lines(before).length} printed lines` : name);
  }
  const [before, now] = [stored, here].map((texts) => (texts["text/html"] ?? []).map(said).join("\n\n"));
  if (before !== now) words.push("a table");
  else if ((stored["text/plain"] ?? []).join("\n") !== (here["text/plain"] ?? []).join("\n")) words.push("a value");
  return words;
}

// Figures. Another Matplotlib sets letters a little differently, and so moves what stands beside them by some pixels, and
// takes other ticks. So two figures are of about one size, and within the axes of the one that is drawn here each place
// of one must find its color within REACH pixels of it in the other, and the other way round, after a blur that evens
// out how lines fall on pixels. Colors may differ by LEVELS of 256, and more at SPOTS places in all. Measured with
// Matplotlib 3.8 against 3.11: no figure of the book has a single such place, the largest difference is 43 levels. Where
// each curve was moved by 13 pixels, or each map by a row, every figure had 12 places or more.
const REACH = 6, LEVELS = 48, SPOTS = 4;

// A picture as red, green, blue, one after the other: half as wide and high, as a screen shows what is stored for dense ones.
async function pixels(address) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const [width, height] = [picture.naturalWidth, picture.naturalHeight].map((length) => Math.floor(length / 2));
  const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(picture, 0, 0);
  const { data } = pen.getImageData(0, 0, 2 * width, 2 * height), row = 8 * width;
  const out = new Float32Array(3 * width * height);
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      for (let color = 0; color < 3; color += 1, at += 1) {
        const from = 2 * y * row + 8 * x + color;
        out[at] = (data[from] + data[from + 4] + data[from + row] + data[from + row + 4]) / 4;
      }
    }
  }
  return { data: out, width, height };
}

function cropped({ data, width }, wide, high) {
  const out = new Float32Array(3 * wide * high);
  for (let y = 0; y < high; y += 1) out.set(data.subarray(3 * y * width, 3 * (y * width + wide)), 3 * y * wide);
  return { data: out, width: wide, height: high };
}

// Each place and color joined with the place that lies `by` places further on in its row, or in its column.
function joined({ data, width, height }, by, downwards, join) {
  const out = new Float32Array(data.length);
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const there = downwards
        ? 3 * (Math.min(Math.max(y + by, 0), height - 1) * width + x)
        : 3 * (y * width + Math.min(Math.max(x + by, 0), width - 1));
      for (let color = 0; color < 3; color += 1, at += 1) out[at] = join(data[at], data[there + color]);
    }
  }
  return { data: out, width, height };
}

const smaller = (a, b) => (a < b ? a : b), larger = (a, b) => (a > b ? a : b), second = (a, b) => b;

// The extreme of what lies within REACH: windows that grow to 2 REACH + 1, then move back by REACH.
function around(picture, join) {
  for (const downwards of [false, true]) {
    for (let wide = 1; wide < 2 * REACH + 1;) {
      const by = Math.min(wide, 2 * REACH + 1 - wide);
      picture = joined(picture, by, downwards, join);
      wide += by;
    }
    picture = joined(picture, -REACH, downwards, second);
  }
  return picture.data;
}

function blurred(picture) {
  for (const downwards of [false, true]) {
    const [before, after] = [-1, 1].map((by) => joined(picture, by, downwards, second).data);
    picture = { ...picture, data: before.map((value, at) => (value + picture.data[at] + after[at]) / 3) };
  }
  return picture;
}

// Whether each place lies within axes, and not at their edge.
function inside(axes, drawn, { width, height }) {
  const marked = new Uint8Array(width * height);
  for (const [left, top, right, bottom] of axes) {
    const first = Math.max(Math.ceil(left * drawn.width) + REACH, 0), last = Math.min(right * drawn.width - REACH, width);
    const end = Math.min(bottom * drawn.height - REACH, height);
    for (let y = Math.max(Math.ceil(top * drawn.height) + REACH, 0); y < end; y += 1) {
      if (first < last) marked.fill(1, y * width + first, y * width + Math.floor(last));
    }
  }
  return marked;
}

// How many marked places of a picture have a color that another has nowhere near.
function spots({ data }, another, marked) {
  const low = around(another, smaller), high = around(another, larger);
  let count = 0;
  for (let place = 0; place < marked.length; place += 1) {
    if (!marked[place]) continue;
    let off = 0;
    for (let n = 3 * place; n < 3 * place + 3; n += 1) off = Math.max(off, low[n] - data[n], data[n] - high[n]);
    count += off > LEVELS;
  }
  return count;
}

// How many places of two figures, of about one size, have no match in the other.
async function spotsBetween(stored, here, axes) {
  const both = await Promise.all([stored, here].map(pixels));
  const [width, height] = ["width", "height"].map((side) => Math.min(...both.map((each) => each[side])));
  const beyond = both.some((each) => each.width > width + 2 * REACH || each.height > height + 2 * REACH);
  if (beyond) return Infinity;
  const [one, two] = both.map((each) => blurred(cropped(each, width, height)));
  const marked = inside(axes, both[1], one);
  return spots(one, two, marked) + spots(two, one, marked);
}

// In words: what differs, each part once.
export async function differences(stored, outputs, pictures) {
  const here = gathered(outputs), words = ofTexts(stored.texts, here.texts);
  if (stored.figures !== here.figures.length) words.push(`${here.figures.length} figures, stored are ${stored.figures}`);
  else {
    for (const [n, { picture, axes }] of here.figures.entries()) {
      if (!pictures[n] || (await spotsBetween(pictures[n], picture, axes)) > SPOTS) {
        words.push(here.figures.length > 1 ? `figure ${n + 1}` : "the figure");
      }
    }
  }
  return words;
}
