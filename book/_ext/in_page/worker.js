// A reader's Python, beside the page: it starts Pyodide, says how far it is, and runs what the page sends.
let came = 0, shell;
const tell = (message) => postMessage(message);
const names = (url) => url.split("?")[0].split("/").at(-1);

// Every file is counted on its way, in bytes as files.json has them.
const plainFetch = self.fetch;
self.fetch = async (address, options) => {
  const { integrity, ...others } = options ?? {}; // the build has compared every byte with the pin; so each piece counts at once
  const answer = await plainFetch(address, others);
  if (!answer.ok || !answer.body) throw new Error(`${names(answer.url)}: ${answer.status}`);
  const counter = new TransformStream({
    transform(piece, stream) {
      came += piece.byteLength;
      tell({ came });
      stream.enqueue(piece);
    },
  });
  return new Response(answer.body.pipeThrough(counter), { status: answer.status, headers: answer.headers });
};

async function start({ pyodide, packages, archives }) {
  const indexURL = new URL(pyodide, location.href).href;
  importScripts(indexURL + "pyodide.js");
  const fetched = archives.map(async (name) => (await fetch(name)).arrayBuffer());
  const silent = { stdout() {}, stderr() {}, messageCallback() {} };
  const python = await loadPyodide({ indexURL, packages, checkIntegrity: false, ...silent });
  tell({ words: "Starting Python" });
  python.FS.mkdirTree("/book/book");
  for (const archive of await Promise.all(fetched)) python.unpackArchive(archive, "zip", { extractDir: "/book" });
  python.FS.writeFile("/book/shell.py", await (await plainFetch("shell.py")).text());
  python.runPython("import os, sys; sys.path.insert(0, '/book'); os.chdir('/book/book'); import shell; shell.start()");
  shell = python.globals.get("shell");
}

const actions = {
  start,
  run: ({ source, number }) => JSON.parse(shell.run_cell(source, number)),
  skip: ({ source, why }) => shell.skip_cell(source, why),
  turn: ({ number, values }) => JSON.parse(shell.turn(number, JSON.stringify(values))),
};

onmessage = async ({ data: { id, action, ...message } }) => {
  try {
    tell({ id, result: await actions[action](message) });
  } catch (error) {
    tell({ id, failed: String(error?.message ?? error) });
  }
};
