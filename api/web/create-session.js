// <create-session>: a therapist proposes a session: regular, custom or instant.

import { now } from "./api.js";
import { momentOf, wall } from "./dates.js";
import { define, filled, h, nameOf } from "./element.js";

define("create-session", (host) => {
  const { t, api, dates, field } = host;
  let clients;
  let sent = {}; // last, and its key

  // The client: typing narrows the list, Enter or an arrow goes to it.
  const people = h("div.people", { role: "radiogroup", "aria-label": t("patient_id") });
  const found = h("p.hint", { role: "status" });
  const shown = () => people.querySelectorAll("label:not([hidden]) input");

  function narrow() {
    const words = form.querySelector("#patient_id").value.trim().toLowerCase();
    for (const label of people.children) {
      label.hidden = !label.textContent.toLowerCase().includes(words);
      if (label.hidden) label.firstChild.checked = false;
    }
    found.textContent = words && t("clientsFound", { n: shown().length });
  }

  function onkeydown(event) {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    event.preventDefault();
    shown()[0]?.click();
    shown()[0]?.focus();
  }

  const person = ({ id: value, full_name: name, email }) => {
    const radio = h("input", { type: "radio", name: "patient_id", value, required: true });
    return h("label.choice", radio, h("span", name, " ", h("span.hint", email)));
  };

  const type = (value, index) => {
    const radio = h("input", { type: "radio", name: "type", value, checked: !index });
    return h(`label.type.${value}`, radio, h("strong", t(`type.${value}`)), h("span.hint", t(`typeHint.${value}`)));
  };

  const zones = [...new Set([dates.zone, "UTC", ...Intl.supportedValuesOf("timeZone")])].sort();
  const when = h(
    "fieldset.row",
    field("session_date", "input", { type: "date", required: true }),
    field("session_time", "input", { type: "time", required: true }),
    field("time_zone", "select", {}, "", zones.map((zone) => h("option", { selected: zone === dates.zone }, zone))),
  );
  const search = { name: "", type: "search", autocomplete: "off", oninput: narrow, onkeydown };
  const preview = h("p.preview", { role: "status" });
  const problem = h("div", { role: "alert" });
  const send = h("button.primary", { disabled: true }, t("send"));
  const form = h(
    "form.card", { novalidate: true, onsubmit, oninput: changed },
    h("div.client", field("patient_id", "input", search, t("clientHint")), people, found),
    h("fieldset", h("legend", t("type")), h("div.types", ["regular", "custom", "instant"].map(type))),
    when,
    field("duration_minutes", "input", { type: "number", min: 5, max: 480, value: 30, required: true }),
    preview,
    field("title", "input", { maxlength: 200 }, t("titleHint")),
    field("notes", "textarea", { maxlength: 4000, rows: 3 }, t("notesHint")),
    problem,
    h("div.buttons", send),
  );
  const done = h("div");

  function changed() {
    const { session_date: date, session_time: time, time_zone: zone, duration_minutes: minutes } = form;
    const isInstant = form.type.value === "instant";
    const start = momentOf(date.value, time.value, zone.value);
    const slot = { start_time: start, end_time: start + minutes.value * 60_000 };
    when.hidden = when.disabled = isInstant;
    if (isInstant || !slot.end_time) return preview.replaceChildren(isInstant ? t("instantHint") : "");
    const client = clients?.find(({ id }) => id === form.patient_id.value);
    const there = dates.span(slot, zone.value);
    const local = (key, where) => {
      const when = where ? dates.span(slot, where) : there;
      return when === there ? "" : h("span.hint", t(key, { who: nameOf(client), when }));
    };
    const named = `${there} (${zone.value}), ${dates.relative(start, now())}`;
    preview.replaceChildren(named, local("forYou", dates.zone), local("forThem", client?.time_zone));
  }

  function read() {
    const { type, ...body } = filled(form);
    if (type === "regular") body.title ??= t("regularTitle");
    return { ...body, is_instant: type === "instant", duration_minutes: Number(body.duration_minutes) };
  }

  /** Say what is wrong beside its field, and go to the first. */
  function mark(wrong, text = "") {
    for (const node of [...form.elements].filter(({ error }) => error)) {
      const text = wrong[node.id] || (node.id === "session_time" && wrong.start_time) || "";
      node.error.textContent = t(text) || text;
      node.ariaInvalid = text ? "true" : null;
    }
    problem.replaceChildren(text);
    form.querySelector("[aria-invalid]")?.focus();
  }

  async function onsubmit(event) {
    event.preventDefault();
    if (send.ariaDisabled) return;
    const invalid = [...form.querySelectorAll("input:invalid")];
    mark(Object.fromEntries(invalid.map((node) => [node.name, node.validationMessage])));
    if (invalid.length) return;
    const body = read();
    const content = JSON.stringify(body);
    if (sent.content !== content) sent = { content, key: crypto.getRandomValues(new Uint32Array(4)).join("-") };
    send.ariaDisabled = "true";
    send.textContent = t("sending");
    try {
      created(await api("POST", "/therapist/create-custom-session", body, { "Idempotency-Key": sent.key }));
    } catch (error) {
      const { code, details, isUnknown } = error;
      const clash = code === "TIME_SLOT_CONFLICT" && conflict(details);
      mark(details ?? {}, clash || (isUnknown ? h("p.message", t("lostRequest")) : host.refusal(error)));
      if (clash) clash.focus();
    }
    send.ariaDisabled = null;
    send.textContent = t("send");
  }

  function conflict({ conflicting_sessions: taken, suggested_times: free }) {
    const zone = form.time_zone.value;
    const session = ({ title, client_name: who, ...slot }) =>
      h("li", dates.span(slot, zone), title && ` · ${who ? t("with", { title, who }) : title}`);
    const choice = ({ time }) =>
      h("button.plain", { type: "button", onclick: () => choose(time) }, dates.moment(time, zone));
    return h(
      "div.message.conflict", { tabindex: -1 },
      h("p", t("taken")), h("ul", taken.map(session)),
      h("p", t(free.length ? "suggested" : "noneSuggested")), h("div.buttons", free.map(choice)),
    );
  }

  /** Propose a free time at once: nobody pays yet, and it can be withdrawn. */
  function choose(time) {
    const shown = new Date(wall(Date.parse(time), form.time_zone.value)).toISOString();
    [form.session_date.value, form.session_time.value] = shown.split(/[TZ.]/);
    changed();
    send.focus();
    form.requestSubmit();
  }

  function created({ session, message }) {
    const values = { who: nameOf(session.client), when: dates.moment(session.approval_expires_at) };
    const heading = h("h2", { tabindex: -1 }, t("created", values));
    const href = host.attribute("sessions-path");
    const links = [
      session.is_instant && host.joinLink(session, "waitInside"),
      href && host.link("plain", "seeSessions", href),
    ];
    const said = h("p", t(message) || message);
    const next = h("p", t(session.is_instant ? "nextInstant" : "nextScheduled", values));
    done.replaceChildren(h("section.card.done", heading, said, next, h("div.buttons", links)));
    sent = {};
    form.reset();
    narrow();
    changed();
    heading.focus();
    host.emit("session-created", { session });
  }

  async function allClients(after) {
    const { clients, has_more } = await api("GET", `/therapist/clients?limit=100${after}`);
    return has_more ? [...clients, ...(await allClients(`&after=${clients.at(-1).id}`))] : clients;
  }

  return {
    nodes: [done, form],
    load: async () => clients ?? allClients(""),
    show(loaded) {
      if (!clients) people.append(...loaded.map(person)), narrow();
      clients = loaded;
      send.disabled = false;
    },
  };
});
