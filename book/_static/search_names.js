// A search for a number, such as "Eq. 5", "equation (1.5)" or "thm 5.4", finds what bears it and nothing else.
(() => {
  const KINDS = {
    eq: "Eq.", equation: "Eq.",
    thm: "Theorem", theorem: "Theorem",
    lem: "Lemma", lemma: "Lemma",
    prop: "Proposition", proposition: "Proposition",
    cor: "Corollary", corollary: "Corollary",
    ex: "Exercise", exercise: "Exercise",
  };
  const NUMBERED = /^(?:([a-z]+)\.?\s*(?=[\d(])|(?=\())\(?(\d+(?:\.\d+)?)\)?$/i;

  function numbered(query) {
    const [, kind = "eq", number] = NUMBERED.exec(query.trim()) ?? [];
    const canonical = KINDS[kind.toLowerCase()];
    return number && canonical ? `${canonical} ${number}` : null;
  }

  // What a result quotes of a page: its text, without the list of its contents, and with … for a formula.
  function quotable(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const contents of page.querySelectorAll("#jb-print-docs-body")) contents.remove();
    for (const formula of page.querySelectorAll(".math")) formula.textContent = "…";
    return page.documentElement.outerHTML;
  }

  function teachNames() {
    const { query, _performSearch, htmlToText } = Search;
    Search.query = (text) => query(numbered(text) ?? text);
    Search._performSearch = (text, ...terms) => {
      const found = _performSearch(text, ...terms);
      const exact = numbered(text) ? found.filter(([, title]) => title.startsWith(`${text}:`)) : [];
      return exact.length ? exact : found;
    };
    Search.htmlToText = (html, anchor) => htmlToText(quotable(html), anchor);
  }

  // Before the search starts, which waits for the same event.
  if (typeof Search === "undefined") document.addEventListener("DOMContentLoaded", teachNames);
  else teachNames();
})();
