// What a cell shows here, against what the book stores: in words, or nothing where they are the same.

const lines = (text) => (text ? text.replace(/\n$/, "").split("\n") : []);

// What a piece of HTML says, without its markup.
export const said = (html) => {
  const { body } = new DOMParser().parseFromString(html, "text/html");
  body.querySelectorAll("script, style").forEach((part) => part.remove());
  return [...body.querySelectorAll("*")].flatMap((each) => [...each.childNodes])
    .filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()).map((node) => node.data.trim()).join("\n");
};

// Outputs as the store has them: what is printed is one text, whatever the pieces; other texts by kind.
export function gathered(outputs) {
  const texts = {}, figures = [];
  for (const { output_type: type, name, text, data = {}, ename, evalue } of outputs) {
    if (type === "stream") texts[name] = [(texts[name]?.[0] ?? "") + text];
    if (type === "error") texts.error = [`${ename}: ${evalue}`];
    for (const kind of ["text/plain", "text/html"]) if (kind in data) (texts[kind] ??= []).push(data[kind]);
    if ("image/png" in data && !("text/html" in data)) figures.push(`data:image/png;base64,${data["image/png"]}`);
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

// Figures. Another Matplotlib sets letters a little differently, and so moves what stands beside them by some pixels.
// So each place of one figure must find its color within REACH pixels of it in the other, both ways, after a blur that
// evens out where lines lie between pixels; LEVELS of 256 may differ, at SPOTS places at most.
export const REACH = 6, LEVELS = 32, SPOTS = 4;

async function pixels(address, size) {
  const picture = new Image();
  picture.src = address;
  await picture.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = size ?? [picture.naturalWidth / 2, picture.naturalHeight / 2].map(Math.round);
  const { width, height } = canvas, pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, 0, 0, width, height);
  return { width, height, data: pen.getImageData(0, 0, width, height).data };
}

// Each place and color joined with the place that lies `by` places further on in its row, or in its column.
function joined({ data, width, height }, by, downwards, join) {
  const out = new Float32Array(data.length);
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const there = downwards
        ? 4 * (Math.min(Math.max(y + by, 0), height - 1) * width + x)
        : 4 * (y * width + Math.min(Math.max(x + by, 0), width - 1));
      for (let color = 0; color < 4; color += 1, at += 1) out[at] = join(data[at], data[there + color]);
    }
  }
  return { data: out, width, height };
}

const smaller = (a, b) => (a < b ? a : b), larger = (a, b) => (a > b ? a : b), other = (a, b) => b;

// The extreme of what lies within REACH: windows that grow to 2 REACH + 1, then move back by REACH.
function around(picture, join) {
  for (const downwards of [false, true]) {
    for (let wide = 1; wide < 2 * REACH + 1;) {
      const by = Math.min(wide, 2 * REACH + 1 - wide);
      picture = joined(picture, by, downwards, join);
      wide += by;
    }
    picture = joined(picture, -REACH, downwards, other);
  }
  return picture.data;
}

function blurred(picture) {
  for (const downwards of [false, true]) {
    const sides = [-1, 1].map((by) => joined(picture, by, downwards, other).data);
    picture = { ...picture, data: sides[0].map((value, at) => (value + picture.data[at] + sides[1][at]) / 3) };
  }
  return picture;
}

// How many places of a figure have a color that the other has nowhere near.
function spots(picture, another) {
  const low = around(another, smaller), high = around(another, larger);
  let count = 0;
  for (let at = 0; at < low.length; at += 4) {
    let off = 0;
    for (let n = at; n < at + 3; n += 1) off = Math.max(off, low[n] - picture.data[n], picture.data[n] - high[n]);
    count += off > LEVELS;
  }
  return count;
}

export async function figureDiffers(stored, here) {
  const before = await pixels(stored), now = await pixels(here);
  if (Math.abs(before.width - now.width) > 2 * REACH || Math.abs(before.height - now.height) > 2 * REACH) return true;
  const [one, two] = [before, await pixels(here, [before.width, before.height])].map(blurred);
  return spots(one, two) + spots(two, one) > SPOTS;
}

// In words: what differs, each part once.
export async function differences(stored, outputs, pictures) {
  const here = gathered(outputs), words = ofTexts(stored.texts, here.texts);
  if (stored.figures !== here.figures.length) words.push(`${here.figures.length} figures, stored are ${stored.figures}`);
  else {
    for (const [n, figure] of here.figures.entries()) {
      if (!pictures[n] || (await figureDiffers(pictures[n], figure))) {
        words.push(here.figures.length > 1 ? `figure ${n + 1}` : "the figure");
      }
    }
  }
  return words;
}
