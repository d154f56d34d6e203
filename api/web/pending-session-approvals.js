// <pending-session-approvals>: requests that wait for the client's answer, and what they cost.

import { define, h, nameOf } from "./element.js";

const LINGER = 8000; // milliseconds that a card stays, to say why it goes

define("pending-session-approvals", (host) => {
  const { t, api, credits, dates, button, joinLink } = host;
  const list = host.list("answer");
  let cards = [];
  let balance;

  const render = () => list.fill(cards.map((card) => ({ ...card, balance })), draw);

  function change({ id }, changes) {
    cards = cards.map((card) => (card.id === id ? { ...card, ...changes } : card));
    render();
  }

  function remove({ id }) {
    cards = cards.filter((card) => card.id !== id);
    render();
  }

  function draw({ id, session, busy, problem, lost, gone, joinable }) {
    const isInstant = session.is_instant;
    const lead = t("proposes", { who: nameOf(session.therapist) });
    const title = h("h3", { id: `of-${id}` }, h("span.lead", lead), " ", session.title);
    const left = !gone && host.until(session.approval_expires_at, "answerWithin", "answerBy");
    const top = h("div.top", host.kind(session), left);
    if (gone) return h("li.card.gone", top, title, h("p.message", gone), joinable && joinLink(session));
    const key = busy ? "approving" : lost ? "again" : isInstant ? "approveInstant" : "approve";
    const buttons = [button("primary", key, () => approve(id), id), button("plain", "decline", () => decline(id), id)];
    if (busy) for (const each of buttons) each.ariaDisabled = "true";
    return h(
      isInstant ? "li.card.urgent" : "li.card", top, title, facts(session),
      h("div", { role: "alert" }, problem && h("p.message", problem), !balance && host.purchaseLink()),
      h("div.buttons", buttons),
    );
  }

  function facts(session) {
    const fact = (key, ...what) => h("div", h(`dt.${key}`, t(key)), h("dd", ...what));
    const left = balance ? t("balanceAfter", { credits: credits(balance - 1) }) : t("balanceNone");
    return h(
      "dl.facts",
      fact("when", session.is_instant ? t("instantWhen") : host.when(session)),
      fact("length", t("minutes", { n: session.duration_minutes })),
      session.notes && fact("note", h("q", session.notes)),
      fact("price", h("strong", credits(1)), " · ", left),
    );
  }

  const free = (id) => cards.find((card) => card.id === id && !card.busy && !card.gone);

  async function approve(id) {
    const card = free(id);
    if (!card) return;
    change(card, { busy: true, problem: "" });
    try {
      approved(card, await api("POST", "/sessions/approve", { session_id: id }));
    } catch (error) {
      refused(card, error);
    }
  }

  function approved(card, answer) {
    const { title, therapist, is_instant: isInstant } = card.session;
    const left = credits(answer.session.credits_balance_after);
    const values = { title, who: nameOf(therapist), when: dates.moment(answer.session.start_time), left };
    const join = isInstant && joinLink(card.session);
    leave(card, t(isInstant ? "approvedInstant" : "approved", values), join);
    if (host.emit("session-approved", answer) && join) location.assign(join.href);
  }

  function refused(card, error) {
    const { status, details, isUnknown: lost } = error;
    if (error.isStale) return findOut(card);
    const when = details?.conflicting_sessions?.map((taken) => ` (${dates.span(taken)})`).join("");
    let problem = lost ? t("lost") : host.refusal(error, { when }).textContent;
    if (status === 402) {
      problem = t("missing", { required: credits(details.required), available: credits(details.available) });
      host.refresh(true);
      host.emit("insufficient-credits", { session: card.session, ...details });
    }
    change(card, { busy: false, lost, problem });
  }

  function leave(card, ...why) {
    const note = host.notice(...why);
    if (host.focused()) note.focus();
    remove(card);
    host.refresh(true);
  }

  /** A request waits no longer: say on its card what became of it, and remove that. */
  async function findOut(card) {
    change(card, { busy: true });
    const asked = api("GET", `/sessions/${card.id}`).then((answer) => answer.session);
    const found = await asked.catch((error) => error.isStale && {});
    if (!found || found.status === "pending_approval") return change(card, { busy: false });
    const isApproved = Boolean(found.approved_at) && found.status !== "cancelled";
    const how = isApproved ? "approved" : found.cancellation_reason;
    const gone = t(`gone.${how}`, { who: nameOf(card.session.therapist) }) || t("gone.unknown");
    change(card, { gone, busy: false, joinable: isApproved && card.session.is_instant });
    host.say(`${card.session.title}: ${gone}`);
    setTimeout(remove, LINGER, card);
  }

  function decline(id) {
    const card = free(id);
    if (!card) return;
    const { title, therapist } = card.session;
    const who = nameOf(therapist);
    const body = [h("p", t("with", { title, who })), host.reason(who)];
    host.ask("declineTitle", body, "declineKeep", "declineYes", async (values) => {
      try {
        const answer = await api("POST", `/sessions/${id}/decline`, values);
        leave(card, t("declined", { who }));
        host.emit("session-declined", answer);
      } catch (error) {
        if (!error.isStale) throw error;
        findOut(card);
      }
    });
  }

  return {
    nodes: [list.node],

    async load() {
      const { sessions } = await api("GET", "/sessions/pending?limit=100");
      return { sessions, wallet: sessions.length && (await api("GET", "/credits/user")) };
    },

    show({ sessions, wallet }) {
      const known = new Map(cards.map((card) => [card.id, card]));
      const here = sessions.map((session) => ({ ...known.get(session.id), id: session.id, session }));
      const news = here.find((card) => !known.has(card.id));
      if (news && balance !== undefined) host.say(t("proposes", { who: nameOf(news.session.therapist) }));
      for (const { id } of sessions) known.delete(id);
      const order = (one, other) => other.session.created_at.localeCompare(one.session.created_at);
      cards = [...here, ...known.values()].sort(order);
      balance = wallet && wallet.credits_balance;
      render();
      for (const card of known.values()) if (!card.gone && !card.busy) findOut(card);
    },
  };
});
