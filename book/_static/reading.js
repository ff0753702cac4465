const FORMULA = "mjx-container";

// What is wider than its column scrolls inside itself. It fades out on the side where there is more, and beside a formula
// stands an arrow.
function hint(box, scrolls = true) {
  const left = box.scrollLeft;
  const hidden = scrolls && box.clientWidth ? box.scrollWidth - box.clientWidth : 0;
  box.classList.toggle("more-left", hidden > 1 && left > 1);
  box.classList.toggle("more-right", hidden > 1 && left < hidden - 1);
  if (hidden > 1) {
    box.tabIndex = 0; // the theme sees to that once, before a solution or a fold is opened
    const beside = box.parentElement.getBoundingClientRect().right - box.getBoundingClientRect().right; // its number
    box.parentElement.style.setProperty("--beside", `${beside}px`);
  }
}

// A formula that is wider than its column must be reached by the keyboard. The theme does the same for tables and code.
function mark(formula) {
  formula.classList.remove("wide"); // measure it as it would be
  const displayed = formula.hasAttribute("display");
  const wide = displayed
    ? formula.scrollWidth > formula.clientWidth
    : formula.offsetWidth > formula.parentElement.clientWidth;
  formula.classList.toggle("wide", wide && !displayed);
  if (wide) formula.tabIndex = 0;
  else formula.removeAttribute("tabindex");
  hint(formula, wide);
}

const watcher = new ResizeObserver((entries) => {
  requestAnimationFrame(() => entries.forEach(({ target }) => (target.localName === FORMULA ? mark(target) : hint(target))));
});

// In a solution that is opened, a formula gets its size only then.
window.addEventListener("load", () => {
  document.querySelectorAll(".bd-article :is(pre, .output.text_html, .pst-scrollable-table-container)").forEach((box) => watcher.observe(box));
  window.MathJax?.startup?.promise?.then(() => {
    document.querySelectorAll(FORMULA).forEach((formula) => watcher.observe(formula));
  });
});
window.addEventListener("resize", () => document.querySelectorAll(FORMULA).forEach(mark));
document.addEventListener("scroll", ({ target }) => target !== document && hint(target), true); // a box does not bubble

// The theme takes the focus away from a button that was clicked. A button that a key has pressed keeps it.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (button && event.isTrusted && event.detail === 0 && document.activeElement === document.body) button.focus();
});

// A dialog that closes gives the focus back to what opened it: the search, the menus of a phone. The theme moves the focus
// away before it opens one, so the browser does not know where it was.
let opener;
document.addEventListener("click", ({ target }) => {
  if (!target.closest?.("dialog")) opener = target.closest?.("button, a, label, summary");
}, true);
document.addEventListener("close", () => requestAnimationFrame(() => {
  const lost = document.activeElement === document.body || !document.activeElement.checkVisibility();
  if (lost && opener?.checkVisibility()) opener.focus();
}), true); // a dialog does not bubble either

// Paper is white: the dark theme's pale letters would not show on it.
let theme;
window.addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
window.addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
});

// A link into a fold opens it, in a browser that does not do so by itself too.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const named = target?.matches("section > span:empty") ? target.parentElement : target; // by a label of our own
  const closed = [];
  for (let each = named; each; each = each.parentElement) {
    if (each.localName === "section" && each === named) closed.push(each.querySelector(":scope > details.fold"));
    if (each.localName === "details") closed.push(each);
  }
  const shut = closed.filter((details) => details && !details.open);
  shut.forEach((details) => (details.open = true));
  if (shut.length) target.scrollIntoView();
}
window.addEventListener("hashchange", unfold);
window.addEventListener("DOMContentLoaded", unfold);
