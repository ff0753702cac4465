// A formula that is wider than its column scrolls inside itself; then the keyboard must reach it. The theme does the same
// for tables and code.
function mark(formula) {
  formula.classList.remove("wide"); // measure it as it would be
  const displayed = formula.hasAttribute("display");
  const wide = displayed
    ? formula.scrollWidth > formula.clientWidth
    : formula.offsetWidth > formula.parentElement.clientWidth;
  formula.classList.toggle("wide", wide && !displayed);
  if (wide) formula.tabIndex = 0;
  else formula.removeAttribute("tabindex");
}

const watcher = new ResizeObserver((entries) => {
  requestAnimationFrame(() => entries.forEach((entry) => mark(entry.target)));
});

// In a solution that is opened, a formula gets its size only then.
window.addEventListener("load", () => window.MathJax?.startup?.promise?.then(() => {
  document.querySelectorAll("mjx-container").forEach((formula) => watcher.observe(formula));
}));
window.addEventListener("resize", () => document.querySelectorAll("mjx-container").forEach(mark));

// The theme takes the focus away from a button that was clicked. A button that a key has pressed keeps it.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (button && event.isTrusted && event.detail === 0 && document.activeElement === document.body) button.focus();
});

// Paper is white: the dark theme's pale letters would not show on it.
let theme;
window.addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
window.addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
});
