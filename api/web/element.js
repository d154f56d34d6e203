// What the elements share: DOM, loading, messages, lists and dialogs.

import { call, now, Refusal } from "./api.js";
import { clock, datesIn, HOUR } from "./dates.js";
import { elements, look } from "./live.js";
import { languageOf, textOf } from "./texts.js";

const css = await fetch(new URL("session-approval.css", import.meta.url));
const sheet = new CSSStyleSheet();
sheet.replaceSync(await css.text());

/** Make a node: h("p.hint", {onclick: listener}, "text", child). Classes are parts too; text is never markup. */
export function h(what, ...content) {
  const [name, ...classes] = what.split(".");
  const node = document.createElement(name);
  const attributes = content[0]?.constructor === Object ? content.shift() : {};
  if (classes.length) attributes.class = attributes.part = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...content.flat().filter(Boolean));
  return node;
}

export const filled = (form) => Object.fromEntries([...new FormData(form)].filter(([, value]) => value.trim()));

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const nameOf = (person) => person?.full_name ?? person?.email ?? "–";

/** Define an element: setup(host) returns its nodes, load() and show(data), and second(). See docs/recipes.md. */
export function define(name, setup) {
  class SessionElement extends HTMLElement {
    connectedCallback() {
      if (!this.shadowRoot) furnish(this, setup);
      elements.add(this);
      setTimeout(this.refresh); // the page may be about to give its token
    }

    disconnectedCallback() {
      elements.delete(this);
    }
  }
  // Declared, so that frameworks set properties and not attributes.
  Object.assign(SessionElement.prototype, { token: undefined, texts: undefined });
  customElements.define(name, SessionElement);
}

function furnish(element, setup) {
  const root = element.attachShadow({ mode: "open" });
  const attribute = (name) => element.getAttribute(name);
  const { lang } = element.closest("[lang]") ?? document.documentElement;
  const dates = datesIn(attribute("locale") ?? languageOf([lang, ...navigator.languages]), attribute("time-zone"));
  const [troubles, notices] = [h("div", { role: "status" }), h("div", { role: "status" })];
  const said = h("p.unseen", { role: "status" });
  const kept = {}; // the API's last answers by path; in memory only: they are about health
  let looking, shown;

  const t = (key, values) => textOf(dates.locale, element.texts, key, values);

  const focused = () => root.activeElement;

  /** Tell the page, and have the other elements load; false: the page goes on by itself. */
  function emit(type, detail) {
    const event = new CustomEvent(type, { detail, bubbles: true, composed: true, cancelable: true });
    const goOn = element.dispatchEvent(event);
    look(true, element);
    return goOn;
  }

  /** Load and show. anew: also during a load, whose answer is then dropped. */
  async function refresh(anew) {
    if (looking && !anew) return;
    const mine = (looking = own.load());
    const [data, error] = await mine.then((loaded) => [loaded], (refusal) => [null, refusal]);
    if (mine !== looking) return;
    looking = null;
    if (error) return trouble(error);
    troubles.replaceChildren();
    element.removeAttribute("signed-out");
    if (data !== shown) own.show((shown = data));
  }

  function trouble(error) {
    const words = refusal(error);
    element.toggleAttribute("signed-out", error.status === 401);
    if (troubles.textContent !== words.textContent) troubles.replaceChildren(words);
  }

  /** A refusal in words; where nobody is signed in, a link to sign in. */
  function refusal(error, values) {
    if (!(error instanceof Refusal)) console.error(error);
    const text = t(`refused.${error.code}`, values) || (error.status && error.message) || t("failed");
    const next = encodeURIComponent(location.pathname + location.search);
    const href = `${attribute("sign-in-url") ?? "/sign-in"}?next=${next}`;
    return h("p.message", error.status === 401 ? h("a", { href }, t("signIn")) : text);
  }

  const say = (text) => said.replaceChildren(text);

  function notice(...content) {
    const note = h("div.notice", { tabindex: -1 }, h("p", ...content));
    note.append(button("quiet", "dismiss", () => note.remove()));
    notices.replaceChildren(note);
    return note;
  }

  const ticking = (tell) => Object.assign(h("span.ticking", tell()), { tell });

  function tick() {
    own.second?.();
    for (const node of root.querySelectorAll(".ticking")) write(node, node.tell());
  }

  /** How long until a moment, as a clock counts it down when that is soon. */
  const until = (moment, soon, later) => ticking(() => {
    const left = Date.parse(moment) - now();
    return left < HOUR ? t(soon, { left: clock(left) }) : t(later, { when: dates.moment(moment) });
  });

  function when(session) {
    const relative = () => ` · ${dates.relative(session.start_time, now())}`;
    return [dates.span(session), session.status !== "cancelled" && ticking(relative)];
  }

  function kind({ is_instant: isInstant }) {
    const word = isInstant ? "instant" : "scheduled";
    return h(`span.badge.${word}`, t(`kind.${word}`));
  }

  function button(style, key, onclick, about) {
    const attributes = { type: "button", onclick, "data-focus": key, "aria-describedby": about && `of-${about}` };
    return h(`button.${style}`, attributes, t(key));
  }

  const link = (style, key, href) => h(`a.button.${style}`, { href }, t(key));

  const joinLink = ({ id }, key = "join") =>
    link("primary", key, `${attribute("video-path") ?? "/video-session"}/${id}`);

  const purchaseLink = () => attribute("purchase-url") && link("plain", "getCredits", attribute("purchase-url"));

  /** A titled list. fill(items, draw) keeps what has not changed, and the focus. */
  function list(name) {
    const title = h("h2", { id: name, tabindex: -1 }, t(`list.${name}`));
    const empty = h("p.hint", t("loading"));
    const cards = h("ul.cards");
    function fill(items, draw) {
      const had = focused();
      const old = [...cards.children];
      const nodes = items.map((item) => {
        const signature = JSON.stringify(item);
        const same = old.find((node) => node.signature === signature);
        return same ?? Object.assign(draw(item), { key: item.id, signature });
      });
      const left = old.find((node) => !nodes.includes(node) && node.contains(had));
      for (const node of old) if (!nodes.includes(node)) node.remove();
      nodes.forEach((node, index) => {
        if (cards.children[index] !== node) cards.insertBefore(node, cards.children[index]);
      });
      const anew = left && nodes.find((node) => node.key === left.key);
      (anew?.querySelector(`[data-focus="${had.dataset.focus}"]`) ?? anew?.querySelector("button, a"))?.focus();
      write(empty, items.length ? "" : t(`none.${name}`));
      if (had && !focused()) title.focus();
    }
    return { name, fill, node: h("section", { "aria-labelledby": name }, title, empty, cards) };
  }

  /** Ask before something is done: act(values) does it, once. */
  function ask(title, body, keep, confirm, act, style = "danger") {
    const opener = focused();
    const problem = h("div", { role: "alert" });
    const yes = act && h(`button.${style}`, t(confirm));
    async function onsubmit(event) {
      event.preventDefault();
      if (yes.ariaDisabled) return;
      yes.ariaDisabled = "true";
      try {
        await act(filled(form));
        dialog.close();
        if (!opener?.isConnected) notices.firstChild?.focus();
      } catch (error) {
        problem.replaceChildren(refusal(error));
      }
      yes.ariaDisabled = null;
    }
    const no = button("plain", keep, () => dialog.close());
    const heading = h("h2", { id: "asking" }, t(title));
    const form = h("form", { onsubmit }, heading, body, problem, h("div.buttons", yes, no));
    const dialog = h("dialog", { "aria-labelledby": "asking", onclose: () => dialog.remove() }, form);
    root.append(dialog);
    dialog.showModal();
  }

  /** A field, with its label, and where to say what is wrong with it. */
  function field(name, tag, attributes, hint, ...children) {
    const described = `${name}-hint ${name}-error`;
    const node = h(tag, { id: name, name, "aria-describedby": described, ...attributes }, ...children);
    node.error = h("p.error", { id: `${name}-error` });
    const about = h("p.hint", { id: `${name}-hint` }, hint);
    return h("div.field", h("label", { for: name }, t(name)), about, node, node.error);
  }

  const reason = (who) => field("reason", "textarea", { rows: 3, maxlength: 1000 }, t("reasonHint", { who }));

  const { nodes, ...own } = setup({
    attribute, dates, t, focused, emit, refusal, trouble, say, notice, until, when, kind, button, link, joinLink,
    purchaseLink, list, ask, field, reason,
    api: (...request) => call(element, kept, ...request),
    credits: (n) => t("credits", { n }),
    refresh: (anew) => element.refresh(anew),
  });
  Object.assign(element, { refresh, tick, ...own });
  root.adoptedStyleSheets = [sheet];
  element.lang ||= dates.locale;
  root.append(said, notices, troubles, ...nodes);
}
