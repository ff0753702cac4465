// A Run and an Edit button under each code cell. All else comes when one is pressed, and from this site alone.
(() => {
  const { version, size } = document.currentScript.dataset;
  if (location.protocol === "file:" || !window.Worker || !window.WebAssembly) return;
  const page = new URL(`../run/${version}/page.js`, document.currentScript.src);
  const cells = [...document.querySelectorAll(".bd-article div.cell")];
  cells.forEach((cell, n) => {
    const bar = document.createElement("div");
    bar.className = "run-bar";
    for (const word of ["Run", "Edit"]) {
      const button = document.createElement("button");
      button.textContent = word;
      button.setAttribute("aria-label", `${word} cell ${n + 1}`);
      if (word === "Run") button.title = `with the cells above, in this page: ${size} MB of Python, once`;
      button.onclick = () => import(page).then(({ press }) => press(word, n, cells));
      bar.append(button);
    }
    cell.querySelector(":scope > .cell_input, :scope > details").after(bar);
  });
})();
