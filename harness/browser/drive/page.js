// What the driver asks of a page. These functions run in a world of their own: the
// page's scripts do not see them, and its content security policy does not bind them.

const squeeze = (s) => (s ?? "").replace(/\s+/gu, " ").trim();

const shown = (el) => getComputedStyle(el).display === "contents"
  || el.checkVisibility({ opacityProperty: true, visibilityProperty: true, checkOpacity: true, checkVisibilityCSS: true });

const drawn = (text, style) => {
  switch (style.textTransform) {
    case "uppercase": return text.toUpperCase();
    case "lowercase": return text.toLowerCase();
    case "capitalize": return text.replace(/(^|\s)(\p{L})/gu, (_, gap, c) => gap + c.toUpperCase());
  }
  return text;
};

// held is what a person reads in a form field.
const held = (el) => {
  if (el.tagName === "SELECT") return [...el.selectedOptions].map((o) => o.text).join(" ");
  if (el.tagName === "TEXTAREA") return el.value;
  if (el.tagName === "INPUT" && !["password", "hidden", "checkbox", "radio", "file"].includes(el.type)) return el.value;
  return "";
};

// read returns the visible text below a node: as it is written, and as it is drawn.
function read(root) {
  const out = ["", ""];
  const add = (a, b) => { out[0] += a; out[1] += b ?? a; };
  const walk = (n) => {
    if (n.nodeType === Node.TEXT_NODE) {
      add(n.data, drawn(n.data, getComputedStyle(n.parentElement)));
      return;
    }
    if (n.nodeType !== Node.ELEMENT_NODE || ["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "HEAD"].includes(n.tagName) || !shown(n)) return;
    const inline = ["inline", "contents"].includes(getComputedStyle(n).display) && n.tagName !== "BR";
    if (!inline) add(" ");
    if (["SELECT", "TEXTAREA", "INPUT"].includes(n.tagName)) add(" " + held(n) + " ");
    else n.childNodes.forEach(walk);
    if (!inline) add(" ");
  };
  walk(root);
  return out.map(squeeze);
}

// pageText is the whole page, with its title and path.
function pageText() {
  const [written, seen] = document.body ? read(document.body) : ["", ""];
  return { title: squeeze(document.title), path: location.pathname, written, drawn: seen };
}

// mentions tells whether a text stands in another as words of its own.
function mentions(text, part) {
  const word = /[\p{L}\p{N}_]/u;
  for (let i = text.indexOf(part); i >= 0; i = text.indexOf(part, i + 1)) {
    const before = text.slice(0, i).slice(-1), after = text.slice(i + part.length, i + part.length + 1);
    if (!(word.test(before) && word.test(part.slice(0, 1))) && !(word.test(after) && word.test(part.slice(-1)))) return true;
  }
  return false;
}

const containers = "tr, li, dd, section, article, fieldset, form, table, tbody, dl, details, dialog, "
  + "[role=row], [role=group], [role=region], [role=listitem], [role=dialog]";

// nearness is how deep in the page the innermost container lies that has the element
// and the text, or is called so, 0 if there is none.
function nearness(el, text) {
  for (let e = el.parentElement; e && e !== document.body; e = e.parentElement) {
    if (!e.matches(containers) || ![...read(e), squeeze(e.ariaLabel)].some((t) => mentions(t, text))) continue;
    let depth = 0;
    for (let p = e; p; p = p.parentElement) depth++;
    return depth;
  }
  return 0;
}

// describe says what the driver must know of an element that it may use.
function describe(near) {
  return {
    texts: read(this),
    near: near ? nearness(this, near) : 0,
    disabled: this.matches(":disabled, [aria-disabled=true]"),
    readonly: this.readOnly === true,
    href: this.href || "",
    nav: Boolean(this.closest("nav, header, aside, [role=navigation], [role=menu], [role=menubar]")),
    tag: this.tagName,
    type: this.type || "",
    value: held(this),
    checked: this.checked === true || this.getAttribute("aria-checked") === "true",
    options: this.tagName === "SELECT" ? [...this.options].map((o) => squeeze(o.text)) : null,
  };
}

// covered says what lies over an element at a point of the window, "" if nothing.
function covered(x, y) {
  const top = document.elementFromPoint(x, y);
  if (!top || top === this || this.contains(top) || top.contains(this)) return "";
  if (top.closest("label") && top.closest("label").control === this) return "";
  return squeeze(top.innerText).slice(0, 60) || top.tagName.toLowerCase();
}

// inside tells whether an element lies in the same list item or disclosure as another.
function inside(other) {
  const scope = other.closest("li, details, [role=listitem]");
  return Boolean(scope && scope.contains(this));
}

// take puts the cursor into a text field and marks all of it.
function take() {
  this.focus();
  if (this.select) this.select();
  else getSelection().selectAllChildren(this);
}

function leave() { this.blur(); }

// choose selects the option of that text as a person does.
function choose(text) {
  const i = [...this.options].findIndex((o) => squeeze(o.text) === text && !o.disabled);
  if (i < 0) return false;
  if (this.selectedIndex !== i) {
    this.focus();
    this.selectedIndex = i;
    this.dispatchEvent(new Event("input", { bubbles: true }));
    this.dispatchEvent(new Event("change", { bubbles: true }));
    this.blur();
  }
  return true;
}

// rows are the visible table rows, cell by cell, each with all texts it could be
// called by.
function rows() {
  const names = (cell) => {
    const out = new Set(read(cell));
    for (const el of [cell, ...cell.querySelectorAll("*")]) {
      if (!shown(el)) continue;
      read(el).forEach((t) => out.add(t));
      for (const n of el.childNodes) if (n.nodeType === Node.TEXT_NODE) out.add(squeeze(n.data));
      for (const name of ["aria-label", "title", "alt"]) out.add(squeeze(el.getAttribute(name)));
    }
    out.delete("");
    return [...out];
  };
  return [...document.querySelectorAll("tr")].filter(shown).slice(0, 2000).map((tr) => [...tr.cells].filter(shown).map(names));
}

// soon resolves when the page has had time to react.
function soon() { return new Promise((done) => setTimeout(done, 40)); }

// examine runs axe, which must have been loaded into this world.
async function examine(tags) {
  const found = await axe.run(document, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] });
  return found.violations.flatMap((v) => v.nodes.map((n) => ({
    rule: v.id, impact: v.impact || "", element: squeeze(n.html).slice(0, 200),
    help: v.help + ": " + squeeze(n.failureSummary).slice(0, 300),
  })));
}
