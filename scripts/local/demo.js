// The demo: a therapist and a client on one page, each side with the token of its own person, and its own video.

const tokens = {}; // by email, each a promise
const problem = document.querySelector("#problem");

try {
  const people = await (await fetch("/sign-in/people")).json();
  for (const side of document.querySelectorAll(".side")) {
    open(side, people.filter((person) => person.is_therapist === (side.id === "therapist")));
  }
} catch {
  problem.textContent = "The local stack does not answer. Is it running? Reload this page when it is.";
}

function open(side, people) {
  const choice = side.querySelector("select");
  choice.append(...people.map((person) => new Option(person.full_name, person.email)));
  choice.addEventListener("change", () => seat(side, choice.value));
  side.addEventListener("session-approved", (event) => {
    if (!event.detail.session.is_instant) return;
    event.preventDefault(); // the page stays: they meet beside each other
    meet(side, event.detail.session.id);
  });
  side.addEventListener("click", (event) => {
    const link = event.composedPath().find((node) => node.pathname?.startsWith("/video-session/"));
    if (!link) return;
    event.preventDefault();
    meet(side, link.pathname.split("/").pop());
  });
  seat(side, choice.value);
}

/** Show a person's screens on a side. */
function seat(side, email) {
  const screens = document.importNode(side.querySelector("template").content, true);
  for (const element of screens.children) element.token = ({ renew }) => tokenOf(email, renew);
  side.querySelector(".screens").replaceChildren(screens);
  side.querySelector(".room-for-video").replaceChildren();
}

/** Show a session's video above a side's screens, for the person there. */
function meet(side, id) {
  const video = document.createElement("video-session");
  const leave = document.createElement("button");
  const email = side.querySelector("select").value;
  video.setAttribute("session-id", id);
  video.token = ({ renew }) => tokenOf(email, renew);
  leave.className = "plain";
  leave.textContent = "Leave the video";
  leave.addEventListener("click", () => leave.parentElement.replaceChildren());
  side.querySelector(".room-for-video").replaceChildren(video, leave);
  leave.scrollIntoView({ block: "nearest" });
}

function tokenOf(email, renew) {
  if (renew || !tokens[email]) tokens[email] = signIn(email);
  return tokens[email];
}

async function signIn(email) {
  const response = await fetch("/sign-in/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email }),
  });
  return (await response.json()).access_token;
}
