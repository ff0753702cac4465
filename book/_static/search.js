/* The search of this book, in the place of Sphinx's.

   A number such as "Eq. 5", "equation (1.5)" or "thm 5.4" finds what bears it and nothing else. A word of search.yml leads
   to the very section. Then come titles, the glossary and the names of results, then what stands in the text: not the page
   but the section of it. Short words, and short words in capitals, are whole words: ALS is not found in "also". */
(() => {
  const KINDS = {
    eq: "Eq.", equation: "Eq.",
    thm: "Theorem", theorem: "Theorem",
    lem: "Lemma", lemma: "Lemma",
    prop: "Proposition", proposition: "Proposition",
    cor: "Corollary", corollary: "Corollary",
    ex: "Exercise", exercise: "Exercise",
  };
  const NUMBERED = /^(?:([a-z]+)\.?\s*(?=[\d(]|A\.\d)|(?=\())\(?((?:\d+|A)(?:\.\d+)?)\)?$/i;
  const JAPANESE = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u;
  const OBJECTS = { result: 50, equation: 25, exercise: 25, claim: 20 }; // by type; all others are functions and the like
  const PARTS_OF_A_PAGE = 2; // that are shown for their text
  const PARTS_IN_JAPANESE = 6; // of which there is one page
  const EXCERPT = 240;

  function numbered(query) {
    const [, kind = "eq", number] = NUMBERED.exec(query.trim()) ?? [];
    const canonical = KINDS[kind.toLowerCase()];
    return number && canonical ? `${canonical} ${number.toUpperCase()}` : null;
  }

  // --- words ---

  const stems = new Map();
  const stemmer = new (class { // made when it is needed: the stemmer is loaded after this file
    of(word) {
      this.porter ??= new Stemmer();
      if (!stems.has(word)) stems.set(word, this.porter.stemWord(word));
      return stems.get(word);
    }
  })();

  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const words = (text) => splitQuery(fold(text));
  const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`); // as a part of HTML
  const plain = (html) => new DOMParser().parseFromString(html, "text/html").body.textContent.trim();

  function tokensOf(query) {
    const all = splitQuery(query.normalize("NFKC")).map((written) => {
      const word = written.toLowerCase();
      const japanese = JAPANESE.test(word);
      const whole = !japanese && (word.length <= 3 || /^[A-Z0-9]{2,5}$/.test(written));
      return { word, japanese, whole, stem: stemmer.of(word) };
    });
    const telling = all.filter(({ word }) => !stopwords.includes(word));
    return telling.length ? telling : all;
  }

  // The words that a text has, ready to be asked.
  function bagOf(text) {
    const list = words(text);
    return { text: fold(text), list, set: new Set(list), stems: new Set(list.map((word) => stemmer.of(word))) };
  }

  function has(bag, { word, japanese, whole, stem }) {
    if (japanese) return bag.text.includes(word);
    if (whole) return bag.set.has(word) || bag.set.has(`${word}s`);
    return bag.stems.has(stem) || (word.length > 3 && bag.list.some((other) => other.startsWith(word)));
  }

  const is = (other, { word, japanese, whole, stem }) =>
    japanese ? other.includes(word) : other === word || (!whole && (stemmer.of(other) === stem || other.startsWith(word)));

  const count = (bag, tokens) => bag.list.filter((other) => tokens.some((token) => is(other, token))).length;

  // --- what is found by its name ---

  // The rows of search.yml: written into the page by lookup.py.
  const table = () => JSON.parse(document.getElementById("search-words")?.textContent ?? "[]");
  const singular = (word) => (word.length > 4 && /[^s]s$/.test(word) ? word.slice(0, -1) : word);
  const phrase = (text) => words(text).map(singular).join(" ");

  // 3: it is the word; 2: it says the word among others; 1: it is a part of it.
  function grade(query, word) {
    if (query === word) return 3;
    const within = JAPANESE.test(word) ? query.includes(word) : ` ${query} `.includes(` ${word} `);
    if (within) return 2;
    return query.length > 2 && ` ${word} `.includes(` ${query} `) ? 1 : 0;
  }

  function fromTable(query) {
    const asked = phrase(query);
    const graded = table().map((row) => {
      const best = Math.max(...row.words.map((word) => {
        const found = grade(asked, phrase(word));
        return found ? found * 100 + word.length : 0;
      }));
      return { ...row, best };
    });
    return graded.filter(({ best }) => best).sort((a, b) => b.best - a.best).slice(0, 3).map(({ best, ...row }) => (
      { ...row, html: row.name, kind: "row", score: best >= 300 ? 1000 + best : 150 + best / 100 }
    ));
  }

  function named(title, tokens, base, { also = "", exactly = 100 } = {}) {
    const bag = bagOf(title);
    const wider = bagOf(`${title} ${also}`);
    if (!tokens.every((token) => has(wider, token)) || !tokens.some((token) => has(bag, token))) return 0;
    const covered = count(bag, tokens) / (bag.list.length || 1);
    return base + 40 * Math.min(covered, 1) + (bag.list.length === tokens.length && covered === 1 ? exactly : 0);
  }

  const isLost = (page) => /(^|\/)404$/.test(page);

  function fromTitles(tokens) {
    const { docnames, titles, alltitles } = Search._index;
    return Object.entries(alltitles).filter(([text]) => !text.includes("headerlink")).flatMap(([text, places]) => {
      const title = text.trim(); // those of boxes have no address, and solutions are found with their exercises
      const sections = places.filter(([file, id]) => plain(titles[file]).endsWith(title) || (id && !/-solution-\d+$/.test(id)));
      return sections.map(([file, id]) => {
        const ofPage = plain(titles[file]).endsWith(title);
        const base = ofPage ? 60 : title.startsWith("Details: ") ? 45 : 50;
        const shown = ofPage ? titles[file] : `${titles[file]} > ${escaped(text)}`;
        return { page: docnames[file], ids: [ofPage ? "" : id], html: shown, kind: "title", score: named(title, tokens, base) };
      });
    });
  }

  // The index has its entries in lower case; their capitals are left in the address.
  function spelled(entry, id) {
    let rest = id;
    return [...entry].map((letter) => {
      const at = rest.toLowerCase().indexOf(letter);
      if (at < 0 || at > 1) return letter;
      const written = rest[at];
      rest = rest.slice(at + 1);
      return written;
    }).join("");
  }

  function fromGlossary(tokens) {
    const { docnames, titles, indexentries } = Search._index;
    return Object.entries(indexentries).flatMap(([entry, places]) =>
      places.filter(([, id]) => id?.startsWith("term-")).map(([file, id]) => {
        const html = `${titles[file]} > ${escaped(spelled(entry, id.slice("term-".length)))}`;
        return { page: docnames[file], ids: [id], html, kind: "term", score: named(entry, tokens, 62) };
      }),
    );
  }

  function objects() {
    const { docnames, titles, objects, objnames, objtypes } = Search._index;
    return Object.entries(objects).flatMap(([prefix, matches]) => matches.map(([file, type, priority, anchor, name]) => {
      const html = (prefix ? `${prefix}.` : "") + name;
      const id = anchor === "" ? html : anchor === "-" ? `${objnames[type][1]}-${html}` : anchor;
      const about = `${objnames[type][2]}, in ${titles[file]}`;
      return { page: docnames[file], ids: [id], html, about, priority, type: objtypes[type].split(":")[1], kind: "object" };
    }));
  }

  function fromObjects(tokens) {
    return objects().map((object) => {
      const ofPaper = object.type === "equation" && object.priority === 0; // the others are called by their labels
      const base = (OBJECTS[object.type] ?? 30) + (ofPaper ? 25 : 0);
      const exactly = object.type === "equation" && !ofPaper ? 0 : 100;
      const [, number, name] = /^((?:[A-Z][a-z]+\.? )(?:[\dA-Z]+)(?:\.\d+)?): (.*)$/.exec(plain(object.html)) ?? [];
      return { ...object, score: named(name ?? plain(object.html), tokens, base, { also: `${number ?? ""} ${object.about}`, exactly }) };
    });
  }

  // --- what stands in the text ---

  const fetched = new Map();
  const address = (page) => page + DOCUMENTATION_OPTIONS.FILE_SUFFIX;

  const BLOCKS = "section[id], div.exercise[id], div.solution, div.proof[id], dl.glossary > dd";
  const HEADINGS = "h1, h2, h3, h4, h5, h6";
  const LISTS = ".toctree-wrapper, .tableofcontents-wrapper, #jb-print-docs-body"; // of pages and of sections
  const NO_TEXT = `.headerlink, script, style, details.checks, .reading-time, ${LISTS}`;

  // Where a block of a page can be reached, and what it is called. A solution belongs to its exercise.
  function identity(block) {
    if (block.matches("section")) {
      const title = [...block.querySelectorAll(HEADINGS)].find((heading) => heading.closest(BLOCKS) === block);
      const targets = [...block.children].filter((box) => box.matches("span[id]"));
      return { ids: [block.id, ...targets.map(({ id }) => id)], top: title?.matches("h1"), title: title?.innerHTML ?? "" };
    }
    if (block.matches("dd")) {
      let term = block.previousElementSibling;
      while (term && !term.matches("dt")) term = term.previousElementSibling;
      return { ids: [term?.id ?? ""], title: term?.innerHTML ?? "" };
    }
    const title = block.querySelector(".admonition-title");
    const exercise = block.matches(".solution") && title?.querySelector('a[href*="#"]')?.getAttribute("href").split("#")[1];
    return { ids: [exercise || block.id], title: escaped(title?.textContent ?? "") };
  }

  const trimmed = (box) => box.textContent.replace(/\s+/g, " ").trim();

  // The parts of a page with their prose and their code. Formulas are left out, and what is no text.
  function partsOf(html) {
    const main = new DOMParser().parseFromString(html, "text/html").querySelector('[role="main"], article');
    if (!main) return [];
    for (const box of main.querySelectorAll(NO_TEXT)) box.remove();
    for (const formula of main.querySelectorAll(".math")) formula.textContent = "…";
    return [...main.querySelectorAll(BLOCKS)].map((block) => {
      const own = block.cloneNode(true);
      for (const inner of own.querySelectorAll(`${BLOCKS}, ${HEADINGS}, .admonition-title, dl.glossary > dt`)) inner.remove();
      const blocks = [...own.querySelectorAll("pre")];
      const code = blocks.map(trimmed).join(" ");
      for (const box of blocks) box.remove();
      return { ...identity(block), prose: trimmed(own), code };
    });
  }

  function load(page) {
    if (!fetched.has(page)) {
      const root = document.documentElement.dataset.content_root ?? "";
      const asked = () => fetch(root + address(page)).then((answer) => answer.text()).then(partsOf).catch(() => []);
      fetched.set(page, location.protocol === "file:" ? [] : asked()); // browsers read no file from the page of another
    }
    return fetched.get(page);
  }

  // Pages that may hold all words. Sphinx takes a run of Japanese letters for one word, so look inside of these.
  function candidates(tokens) {
    const { docnames, terms } = Search._index;
    const japanese = tokens.filter((token) => token.japanese);
    if (!japanese.length) return Search.performTermsSearch(new Set(tokens.map(({ stem }) => stem)), new Set()).map(([page]) => page);
    const holding = ({ word }) => Object.entries(terms).filter(([term]) => term.includes(word)).flatMap(([, files]) => files);
    return docnames.filter((_, file) => japanese.every((token) => holding(token).includes(file)));
  }

  async function fromText(tokens) {
    const { docnames, titles } = Search._index;
    const pages = candidates(tokens);
    const shown = tokens.some(({ japanese }) => japanese) ? PARTS_IN_JAPANESE : PARTS_OF_A_PAGE;
    const found = pages.filter((page) => !isLost(page)).map(async (page) => {
      const ofPage = titles[docnames.indexOf(page)];
      const parts = await load(page);
      if (!parts.length) return [{ page, ids: [""], html: ofPage, kind: "text", score: 0.1 }]; // opened from a disk
      const met = (bag) => tokens.filter((token) => has(bag, token)).length;
      const ranked = parts.map((part) => {
        const bags = { prose: bagOf(part.prose), code: bagOf(part.code) };
        const kind = met(bags.prose) >= met(bags.code) ? "prose" : "code";
        return { ...part, met: met(bags[kind]), kind, count: count(bags[kind], tokens), all: tokens.map((token) =>
          has(bags.prose, token) || has(bags.code, token)) };
      });
      if (!tokens.every((_, i) => ranked.some(({ all }) => all[i]))) return [];
      const most = Math.max(...ranked.map((part) => part.met));
      const results = ranked.filter((part) => part.met === most).map((part) => ({
        page, ids: part.top ? ["", ...part.ids] : part.ids, html: part.top ? ofPage : `${ofPage} > ${part.title}`,
        text: part[part.kind], kind: "text",
        score: (10 * most) / tokens.length - (part.kind === "code" ? 5 : 0) + Math.min(part.count, 20) / 10,
      }));
      return results.sort((a, b) => b.score - a.score).slice(0, most < tokens.length ? 1 : shown);
    });
    return (await Promise.all(found)).flat().filter(({ score }) => score > 0);
  }

  // --- showing it ---

  function pattern(tokens) {
    const escaped = ({ word, whole }) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") + (whole ? "s?(?![\\p{L}\\p{N}])" : "");
    const latin = tokens.filter(({ japanese }) => !japanese).map(escaped);
    const other = tokens.filter(({ japanese }) => japanese).map(escaped);
    return new RegExp([...latin.map((each) => `(?<![\\p{L}\\p{N}])${each}`), ...other].join("|") || "(?!)", "giu");
  }

  // Some lines of a text around the first word that was asked for, with these words marked.
  function excerpt(text, tokens) {
    const shown = document.createElement("p");
    shown.className = "context";
    const first = Math.max(text.search(pattern(tokens)) - EXCERPT / 2, 0);
    const cut = text.slice(first, first + EXCERPT).trim();
    let last = 0;
    shown.append(first ? "…" : "");
    for (const match of cut.matchAll(pattern(tokens))) {
      const mark = document.createElement("span");
      mark.className = "highlighted";
      mark.textContent = match[0];
      shown.append(cut.slice(last, match.index), mark);
      last = match.index + match[0].length;
    }
    shown.append(cut.slice(last), first + EXCERPT < text.length ? "…" : "");
    return shown;
  }

  async function show(result, tokens) {
    const item = document.createElement("li");
    item.className = `kind-${result.kind}`;
    const link = item.appendChild(document.createElement("a"));
    const id = result.ids[0];
    link.href = result.page + DOCUMENTATION_OPTIONS.LINK_SUFFIX + (id && `#${id}`);
    link.innerHTML = result.html;
    if (JAPANESE.test(link.textContent)) link.lang = "ja";
    if (result.about) {
      const about = item.appendChild(document.createElement("span"));
      about.innerHTML = ` (${result.about})`;
      if (JAPANESE.test(about.textContent)) about.lang = "ja";
    }
    Search.output.append(item);
    if (result.say) {
      const said = item.appendChild(document.createElement("p"));
      said.textContent = result.say;
      said.className = "context";
      if (JAPANESE.test(result.say)) said.lang = "ja";
    } else if (result.kind !== "object") {
      const part = (await load(result.page)).find(({ ids, top }) => (id ? ids.includes(id) : top));
      const text = result.text ?? part?.prose;
      if (text) item.append(excerpt(text, tokens));
      if (JAPANESE.test(text ?? "")) item.lastChild.lang = "ja";
    }
  }

  // Each place once, where it stands highest.
  function once(results) {
    const seen = new Set();
    return results.filter(({ page, ids }) => {
      const places = ids.map((id) => `${page}#${id}`);
      const known = places.some((place) => seen.has(place));
      for (const place of places) seen.add(place);
      return !known;
    });
  }

  async function search(query) {
    const tokens = tokensOf(query);
    const number = numbered(query);
    const exact = number ? objects().filter(({ html }) => plain(html).startsWith(`${number}:`)) : [];
    const byName = exact.length
      ? exact
      : [...fromTable(query), ...fromTitles(tokens), ...fromGlossary(tokens), ...fromObjects(tokens)];
    const found = exact.length ? exact : byName.filter(({ score, page }) => score > 0 && !isLost(page));
    if (!exact.length) found.push(...(await fromText(tokens)));
    const results = once(found.sort((a, b) => b.score - a.score || (plain(a.html) < plain(b.html) ? -1 : 1)));
    // Pages mark these words, also inside of longer ones.
    const marked = tokens.filter(({ whole }) => !whole).map(({ word }) => word);
    if (SPHINX_HIGHLIGHT_ENABLED) localStorage.setItem("sphinx_highlight_terms", marked.join(" "));
    document.getElementById("search-progress")?.replaceChildren();
    for (const result of results) await show(result, tokens);
    _finishSearch(results.length);
    if (results.length) Search.status.textContent = `Search finished: ${results.length} found, the best first.`;
  }

  function teach() {
    Search.query = search;
  }

  // Before the search starts, which waits for the same event.
  if (typeof Search === "undefined") document.addEventListener("DOMContentLoaded", teach);
  else teach();
})();
