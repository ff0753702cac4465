// A formula that is wider than its column scrolls inside itself; then the keyboard must reach it.
function markWideFormulas() {
  for (const formula of document.querySelectorAll("mjx-container")) {
    formula.classList.remove("wide"); // measure it as it would be
    const displayed = formula.hasAttribute("display");
    const wide = displayed
      ? formula.scrollWidth > formula.clientWidth
      : formula.offsetWidth > formula.parentElement.clientWidth;
    formula.classList.toggle("wide", wide && !displayed);
    if (wide) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
}

window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(markWideFormulas));
window.addEventListener("resize", markWideFormulas);
