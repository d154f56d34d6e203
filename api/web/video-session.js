// <video-session>: joins a session and shows its room; too early, it waits and joins by itself.

import { now } from "./api.js";
import { clock, HOUR } from "./dates.js";
import { define, h, nameOf } from "./element.js";

define("video-session", (host) => {
  const { t, api, dates } = host;
  const path = `/sessions/${host.attribute("session-id") ?? location.pathname.split("/").pop()}`;
  const title = h("h2");
  const facts = h("p.hint");
  const state = h("div", { role: "status" }, h("p.message", t("joining")));
  const count = h("p.count", { role: "timer" });
  const stage = h("div.stage", state, count);
  let session;
  let isBusy = false;
  let next = 0; // when to try again by itself

  async function introduce() {
    ({ session } = await api("GET", path));
    title.textContent = session.title;
    facts.textContent = `${nameOf(session.therapist)}, ${nameOf(session.client)} · ${dates.span(session)}`;
  }

  function enter({ join_url: src, room_name: room, expires_at: expires }) {
    const allow = "camera; microphone; autoplay; display-capture; fullscreen";
    stage.replaceChildren(h("iframe.room", { src, allow, title: session.title, referrerpolicy: "no-referrer" }));
    host.emit("session-joined", { session, room_name: room, expires_at: expires });
  }

  function refused(error) {
    const { code, details, isUnknown } = error;
    const isAway = code === "ROOM_UNAVAILABLE";
    const isWaiting = code === "SESSION_NOT_APPROVED" || (isUnknown && !isAway);
    const opens = code === "SESSION_NOT_OPEN" && Date.parse(details.opens_at);
    next = opens ? opens + 1000 : isWaiting ? 0 : Infinity; // a room opens on a whole second
    const message = host.refusal(error, { when: opens && dates.moment(opens) });
    const again = isAway && host.button("primary", "again", () => host.refresh(true));
    if (isAway || state.textContent !== message.textContent) state.replaceChildren(message, again || "");
  }

  return {
    nodes: [h("header", title, facts), stage],

    second() {
      const left = next - now();
      count.textContent = left > 0 && left < HOUR ? clock(left) : "";
      if (next && left <= 0) host.refresh();
    },

    async refresh(anew) {
      if (isBusy || (!anew && next > now())) return;
      isBusy = true;
      try {
        if (!session) await introduce();
        enter(await api("POST", `${path}/join`));
      } catch (error) {
        refused(error);
        isBusy = false;
      }
    },
  };
});
