// <create-session>: the therapist proposes a session to a client: regular, custom or instant.
// Attribute: sessions-path. Event: session-created.

import { now } from "./api.js";
import { momentOf } from "./dates.js";
import { define, filled, h, nameOf } from "./element.js";

define("create-session", (host) => {
  const { t, api, dates } = host;
  const fields = {}; // by the API's name: {node, error}
  let clients;
  let sent = {}; // what was sent last, and its key

  function field(name, tag, attributes, hint, ...children) {
    const described = { "aria-describedby": `${name}-hint ${name}-error` };
    const node = h(tag, { id: name, name, ...described, ...attributes }, ...children);
    const error = h("p.error", { id: `${name}-error` });
    fields[name] = { node, error };
    const about = h("p.hint", { id: `${name}-hint` }, hint && t(hint));
    return h("div.field", h("label", { for: name }, t(name)), about, node, error);
  }

  // The client: typing narrows the list, Enter or an arrow goes to it.
  const people = h("div.people", { role: "radiogroup", "aria-label": t("patient_id") });
  const found = h("p.hint", { role: "status" });
  const shown = () => people.querySelectorAll("label:not([hidden]) input");

  function narrow() {
    const words = fields.patient_id.node.value.trim().toLowerCase();
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
  const options = zones.map((zone) => h("option", { selected: zone === dates.zone }, zone));
  const when = h(
    "fieldset.row",
    field("session_date", "input", { type: "date", required: true }),
    field("session_time", "input", { type: "time", required: true }),
    field("time_zone", "select", {}, "", options),
  );
  const search = { name: "", type: "search", autocomplete: "off", oninput: narrow, onkeydown };
  const minutes = { type: "number", min: 5, max: 480, value: 30, required: true };
  const preview = h("p.preview", { role: "status" });
  const problem = h("div", { role: "alert" });
  const send = h("button.primary", { disabled: true }, t("send"));
  const form = h(
    "form.card", { novalidate: true, onsubmit, oninput: changed },
    h("div.client", field("patient_id", "input", search, "clientHint"), people, found),
    h("fieldset", h("legend", t("type")), h("div.types", ["regular", "custom", "instant"].map(type))),
    when,
    field("duration_minutes", "input", minutes),
    preview,
    field("title", "input", { maxlength: 200 }, "titleHint"),
    field("notes", "textarea", { maxlength: 4000, rows: 3 }, "notesHint"),
    problem,
    h("div.buttons", send),
  );
  const done = h("div");

  function changed() {
    const { session_date: date, session_time: time, time_zone: zone, duration_minutes: minutes } = form;
    const isInstant = form.type.value === "instant";
    const start = momentOf(date.value, time.value, zone.value);
    const end = start + minutes.value * 60_000;
    when.hidden = when.disabled = isInstant;
    if (isInstant || !end) return preview.replaceChildren(isInstant ? t("instantHint") : "");
    const there = `${dates.span(start, end, zone.value)} (${zone.value}), ${dates.relative(start, now())}`;
    const here = zone.value !== dates.zone && t("forYou", { when: dates.span(start, end) });
    preview.replaceChildren(there, h("span.hint", here));
  }

  function read() {
    const { type, ...body } = filled(form);
    if (type === "instant") body.is_instant = true;
    if (type === "regular") body.title ??= t("regularTitle");
    return { ...body, duration_minutes: Number(body.duration_minutes) };
  }

  /** Say what is wrong beside its field, and go to the first. */
  function mark(wrong, text = "") {
    for (const [name, { node, error }] of Object.entries(fields)) {
      error.textContent = wrong[name] || (name === "session_time" && wrong.start_time) || "";
      node.ariaInvalid = error.textContent ? "true" : null;
    }
    problem.replaceChildren(text);
    form.querySelector("[aria-invalid]")?.focus();
  }

  async function onsubmit(event) {
    event.preventDefault();
    if (send.ariaDisabled) return;
    const invalid = [...form.elements].filter((node) => node.willValidate && !node.validity.valid);
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
      mark(error.details ?? {}, error.isUnknown ? h("p.message", t("lostRequest")) : host.refusal(error));
    }
    send.ariaDisabled = null;
    send.textContent = t("send");
  }

  function created({ session, message }) {
    const values = { who: nameOf(session.client), when: dates.moment(session.approval_expires_at) };
    const heading = h("h2", { tabindex: -1 }, t("created", values));
    const href = host.attribute("sessions-path");
    const links = [
      session.is_instant && host.joinLink(session, "waitInside"),
      href && host.link("plain", "seeSessions", href),
    ];
    const next = t(session.is_instant ? "nextInstant" : "nextScheduled", values);
    done.replaceChildren(h("section.card.done", heading, h("p", message), h("p", next), h("div.buttons", links)));
    sent = {};
    form.reset();
    narrow();
    changed();
    heading.focus();
    host.emit("session-created", { session });
  }

  return {
    nodes: [done, form],
    load: async () => clients ?? (await api("GET", "/therapist/clients")).clients,
    show(loaded) {
      if (!clients) people.append(...loaded.map(person));
      clients = loaded;
      send.disabled = false;
    },
  };
});
