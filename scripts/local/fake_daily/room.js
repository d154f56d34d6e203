// The room page: a call between two people. The server says who is here and passes messages on, asked
// a few times a second; sound and picture go straight from one page to the other.

const POLL_EVERY = 350; // milliseconds
const LOST_AFTER = 6; // polls without an answer, until the page says so

const room = decodeURIComponent(location.pathname.replace(/^\/+|\/+$/g, ""));
const token = new URLSearchParams(location.search).get("t");
const at = (id) => document.getElementById(id);

const ENDINGS = {
  left: ["You left the call", "You can close this page.", "Join again"],
  over: ["The session has ended", "Its time is up. You can close this page."],
  closed: ["The session has ended", "The room was closed. You can close this page."],
  elsewhere: ["You joined from another page", "The call goes on there."],
  gone: ["You were away too long", "Your place in the room was freed.", "Join again"],
};

const REFUSALS = {
  no_room: "It may have been closed. Open it again from your session.",
  no_token: "Open it from your session to come in.",
  bad_token: "Open the room again from your session.",
  other_room: "Open the room again from your session.",
  expired: "Its time is up. You can close this page.",
  full: "Two people are in the call already.",
};

let seat = null; // known to this page alone; null when it has none
let me = null; // {number, user_name, is_owner}
let media = null; // this page's own sound and picture
let other = null; // the other person, or null
let call = null; // {id, pc, waiting: candidates that came before the description}
let heard = 0; // messages had so far
let unanswered = 0; // polls in a row
let handling = Promise.resolve(); // messages are handled one after another,
let sending = Promise.resolve(); // and sent so: a candidate must not overtake its offer

// What the page shows.

function show(state, title = "", text = "", action = null) {
  document.body.dataset.state = state;
  at("notice-title").textContent = title;
  at("notice-text").textContent = text;
  at("notice-action").hidden = action === null;
  at("notice-action").textContent = action ?? "";
  const inside = state === "waiting" || state === "connecting" || state === "connected";
  at("controls").hidden = !inside;
  at("local").hidden = !inside;
  at("remote").hidden = state !== "connected";
}

function hint(text = "") {
  at("hint").textContent = text;
  at("hint").hidden = text === "";
}

function named(tile, person) {
  at(`${tile}-name`).textContent = person.user_name + (person.is_owner ? " (host)" : "");
  const words = person.user_name.split(/\s+/).filter(Boolean).slice(0, 2);
  at(`${tile}-initials`).textContent = words.map((word) => [...word][0].toUpperCase()).join("");
}

function shown(tile, { camera, sound }) {
  at(tile).dataset.camera = camera ? "on" : "off";
  at(`${tile}-muted`).hidden = sound;
}

// Talking with the server.

async function post(act, body) {
  const answer = await fetch(`/${encodeURIComponent(room)}/${act}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

function tell(body) {
  if (seat === null || other === null) return;
  const message = { seat, to: other.number, body };
  sending = sending.then(() => post("say", message)).catch(() => {});
}

async function poll(held) {
  if (seat !== held) return;
  try {
    const { body } = await post("poll", { seat, after: heard });
    if (seat !== held) return;
    unanswered = 0;
    if (body.ended !== null) return end(body.ended);
    heard += body.messages.length;
    handling = handling.then(() => meet(body.people[0] ?? null));
    for (const message of body.messages) {
      handling = handling.then(() => handle(message)).catch((error) => console.warn(error));
    }
  } catch {
    unanswered += 1;
  }
  if (unanswered === LOST_AFTER) hint("Connection lost. Trying again…");
  if (unanswered === 0 && at("hint").textContent.startsWith("Connection lost")) hint();
  setTimeout(poll, POLL_EVERY, held);
}

// This page's camera and microphone.

async function open(startOff) {
  const wishes = [
    { audio: true, video: true },
    { audio: true, video: false },
    { audio: false, video: true },
  ];
  let found = new MediaStream();
  for (const wish of wishes) {
    try {
      found = await navigator.mediaDevices.getUserMedia(wish);
      break;
    } catch {
      // no such device, in use, or not allowed: make do with less
    }
  }
  for (const track of found.getTracks()) track.enabled = !startOff[track.kind];
  return found;
}

function close(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function own(kind) {
  return media?.getTracks().find((track) => track.kind === kind) ?? null;
}

function devices() {
  return { camera: own("video")?.enabled ?? false, sound: own("audio")?.enabled ?? false };
}

function toggle(kind) {
  const track = own(kind);
  if (track) track.enabled = !track.enabled;
  refresh();
  tell({ kind: "devices", ...devices() });
}

function refresh() {
  const { camera, sound } = devices();
  shown("local", { camera, sound });
  at("mute").textContent = own("audio") === null ? "No microphone" : sound ? "Mute" : "Unmute";
  at("mute").disabled = own("audio") === null;
  at("mute").setAttribute("aria-pressed", String(own("audio") !== null && !sound));
  at("camera").textContent =
    own("video") === null ? "No camera" : camera ? "Camera off" : "Camera on";
  at("camera").disabled = own("video") === null;
  at("camera").setAttribute("aria-pressed", String(own("video") !== null && !camera));
}

// The call. The page that came later offers, so that both never offer at once.

async function meet(person) {
  if (seat === null || person?.number === other?.number) return;
  hangUp();
  other = person;
  if (other === null) return wait();
  named("remote", other);
  show("connecting", `Connecting to ${other.user_name}…`);
  if (me.number > other.number) await offer();
}

function wait() {
  show("waiting", "Waiting for the other person", "The call starts by itself when they come in.");
}

function begin(id) {
  hangUp();
  const pc = new RTCPeerConnection({ iceServers: [] });
  const current = { id, pc, waiting: [] };
  call = current;
  pc.onicecandidate = ({ candidate }) => {
    if (candidate && call === current) tell({ kind: "candidate", call: id, candidate });
  };
  pc.ontrack = ({ track }) => {
    const video = at("remote-video");
    if (!(video.srcObject instanceof MediaStream)) video.srcObject = new MediaStream();
    video.srcObject.addTrack(track);
    video.play().catch(() => {
      if (call === current) hint("Click anywhere to hear the call");
    });
  };
  pc.onconnectionstatechange = () => {
    if (call !== current) return;
    if (pc.connectionState === "connected") {
      hint();
      show("connected");
      tell({ kind: "devices", ...devices() });
    }
    if (pc.connectionState === "disconnected") hint("The connection is weak…");
    if (pc.connectionState === "failed") {
      show("connecting", `Connecting to ${other.user_name} again…`);
      if (me.number > other.number) handling = handling.then(offer);
    }
  };
  for (const track of media.getTracks()) pc.addTrack(track, media);
  return current;
}

async function offer() {
  if (seat === null || other === null) return;
  const { id, pc } = begin(crypto.randomUUID());
  for (const kind of ["audio", "video"]) {
    if (own(kind) === null) pc.addTransceiver(kind, { direction: "recvonly" });
  }
  await pc.setLocalDescription();
  tell({ kind: "offer", call: id, description: pc.localDescription });
}

async function handle({ from, body }) {
  if (seat === null || from !== other?.number) return;
  if (body.kind === "devices") return shown("remote", body);
  if (body.kind === "offer") {
    const { id, pc } = begin(body.call);
    await pc.setRemoteDescription(body.description);
    await pc.setLocalDescription();
    tell({ kind: "answer", call: id, description: pc.localDescription });
    return;
  }
  if (call === null || body.call !== call.id) return;
  if (body.kind === "answer") {
    await call.pc.setRemoteDescription(body.description);
    for (const candidate of call.waiting.splice(0)) await call.pc.addIceCandidate(candidate);
  }
  if (body.kind === "candidate") {
    if (call.pc.remoteDescription === null) call.waiting.push(body.candidate);
    else await call.pc.addIceCandidate(body.candidate);
  }
}

function hangUp() {
  call?.pc.close();
  call = null;
  at("remote-video").srcObject = null;
  shown("remote", { camera: true, sound: true });
  hint();
}

// Coming and going.

async function join() {
  delete document.body.dataset.refusal;
  delete document.body.dataset.ending;
  show("joining", "Joining…");
  let answer;
  try {
    answer = await post("join", { token });
  } catch {
    return show("refused", "The room cannot be reached", "Check the connection.", "Try again");
  }
  if (answer.status !== 200) return refuse(answer.body);
  ({ seat, me } = answer.body);
  heard = 0;
  other = null;
  const held = seat;
  handling = open(answer.body.start_off).then((found) => {
    if (seat !== held) return close(found);
    media = found;
    at("local-video").srcObject = media;
    named("local", me);
    at("local-name").textContent = "You";
    refresh();
    wait();
  });
  poll(held);
}

function refuse({ code, sentence, opens_at: opensAt }) {
  const opens = opensAt ? new Date(opensAt * 1000) : null;
  const text = opens
    ? `The room opens at ${opens.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` +
      ` on ${opens.toLocaleDateString([], { day: "numeric", month: "long" })}.`
    : (REFUSALS[code] ?? "");
  document.body.dataset.refusal = code;
  const later = code === "full" || code === "not_yet_open";
  show("refused", sentence, text, later ? "Try again" : null);
}

function end(reason) {
  const [title, text, action] = ENDINGS[reason];
  seat = null;
  other = null;
  hangUp();
  close(media);
  at("local-video").srcObject = null;
  document.body.dataset.ending = reason;
  show("ended", title, text, action ?? null);
}

function free() {
  if (seat === null) return;
  const body = new Blob([JSON.stringify({ seat })], { type: "application/json" });
  navigator.sendBeacon(`/${encodeURIComponent(room)}/leave`, body);
}

at("mute").addEventListener("click", () => toggle("audio"));
at("camera").addEventListener("click", () => toggle("video"));
at("leave").addEventListener("click", async () => {
  await post("leave", { seat }).catch(() => {});
  end("left");
});
at("notice-action").addEventListener("click", join);
addEventListener("click", () => at("remote-video").play().then(() => hint(), () => {}));
addEventListener("pagehide", free);
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

join();
