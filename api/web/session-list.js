// <session-list>: the caller's sessions, to join, call off, finish and look at.

import { now } from "./api.js";
import { define, h, nameOf } from "./element.js";

const BOOKED = ["scheduled", "confirmed", "in_progress"];
const PAST = `/sessions?status=${BOOKED},completed,no_show,cancelled&limit=100`;

define("session-list", (host) => {
  const { t, api, dates, joinLink } = host;
  const isTherapist = host.attribute("viewer") === "therapist";
  const lists = (host.attribute("show") ?? "pending upcoming past").split(" ").map(host.list);
  let seen;
  let groups;

  const isBooked = ({ status }) => BOOKED.includes(status);
  const other = (session) => nameOf(isTherapist ? session.client : session.therapist);
  const titled = (session) => t("with", { title: session.title, who: other(session) });

  function render() {
    for (const { name, fill } of lists) fill(groups[name].map((session) => ({ ...session, ...phase(session) })), draw);
  }

  /** What changes about a session as time goes by. */
  function phase(session) {
    const isAhead = (moment) => Date.parse(moment) > now();
    const isOpen = isBooked(session) && isAhead(session.end_time);
    return {
      isPending: session.status === "pending_approval",
      isOpen,
      isEarly: isOpen && isAhead(session.join_opens_at),
      begun: isBooked(session) && !isAhead(session.start_time),
    };
  }

  function draw(session) {
    const { id, status, isPending, isEarly, is_instant: isInstant } = session;
    const state = h("span.badge", t(`ended.${session.cancellation_reason}`) || t(`status.${status}`));
    const what = [
      h("div.top", isInstant && host.kind(session), state),
      h("h3", { id: `of-${id}` }, titled(session)),
      h("p", isPending && isInstant ? t("instantWhen") : host.when(session)),
      isPending && h("p", host.until(session.approval_expires_at, "answerWithin", "answerBy")),
      isEarly && h("p", host.until(session.join_opens_at, "opensIn", "opensAt")),
    ];
    return h(`li.card.session.${status}`, h("div", what), buttons(session));
  }

  function buttons(session) {
    const { id, status, isPending, isOpen, isEarly, begun, is_instant: isInstant } = session;
    const button = (kind, key, act) => host.button(kind, key, () => act(session, key).catch(host.trouble), id);
    return h(
      "div.buttons",
      isOpen && !isEarly && joinLink(session),
      isPending && isInstant && isTherapist && joinLink(session, "waitInside"),
      isTherapist && begun && button("plain", "finish", finish),
      isPending && isTherapist && button("plain", "withdraw", cancel),
      isOpen && status !== "in_progress" && button("plain", "cancel", cancel),
      button("quiet", "details", details),
    );
  }

  const act = ({ id }, key, what, event) => async (values) => {
    const answer = await api("POST", `/sessions/${id}/${what}`, values);
    seen = "";
    host.notice(t(`did.${key}.${answer.refunded}`));
    host.refresh(true);
    host.emit(event, answer);
  };

  async function cancel(session, key) {
    const { reason, refundable, free_until: free } = await api("GET", `/sessions/${session.id}/cancellation`);
    const until = refundable && free && ` ${t("freeUntil", { when: dates.moment(free) })}`;
    const what = h("p", `${titled(session)}, ${dates.moment(session.start_time)}`);
    const body = [what, h("p.terms", t(reason) || reason, until), host.reason(other(session))];
    host.ask(`${key}Title`, body, `${key}Keep`, `${key}Yes`, act(session, key, "cancel", "session-cancelled"));
  }

  async function finish(session, key) {
    const choices = ["completed", "no_show"].map((value, index) =>
      h("label.choice", h("input", { type: "radio", name: "outcome", value, checked: !index }), t(`finish.${value}`)),
    );
    const confirmed = act(session, key, "finish", "session-finished");
    host.ask("finishTitle", choices, "close", "finishYes", confirmed, "primary");
  }

  async function details({ id }) {
    const { session, events } = await api("GET", `/sessions/${id}`);
    const { client, therapist, notes, cancellation_reason: why } = session;
    const people = [client, therapist, { id: null, full_name: t("system") }];
    const lines = events.map(({ to_status: to, actor_id: actor, reason, created_at: at }) => {
      const who = nameOf(people.find((person) => person.id === actor));
      const what = (to === "cancelled" && t(`event.${why}`, { who })) || t(`event.${to}`, { who });
      return h("li", h("span.hint", dates.moment(at)), ` ${what}`, reason && h("q", reason));
    });
    const when = `${dates.span(session)} (${dates.zone})`;
    const about = h("div", h("p", titled(session)), h("p", when), notes && h("q", notes), h("h3", t("history")));
    host.ask("details", [about, h("ol.history", lines)], "close");
  }

  return {
    nodes: lists.map(({ node }) => node),

    async load() {
      const { sessions } = await api("GET", "/sessions?upcoming=true&limit=100");
      const isNews = JSON.stringify(sessions) !== seen;
      return { sessions, past: isNews && (await api("GET", PAST)).sessions };
    },

    show({ sessions, past }) {
      if (!past) return;
      const before = seen;
      const open = new Set(sessions.map(({ id }) => id));
      seen = JSON.stringify(sessions);
      groups = {
        pending: sessions.filter(({ status }) => status === "pending_approval"),
        upcoming: sessions.filter(isBooked),
        past: past.filter(({ id }) => !open.has(id)),
      };
      render();
      if (before) host.emit("sessions-changed", { sessions });
    },

    second: () => groups && render(),
  };
});
