// The local sign-in: choose a person, keep their token for this tab, go where they wanted or to their dashboard.

const HOMES = { true: "/therapist/dashboard/client-sessions", false: "/dashboard/therapy" };

const list = document.querySelector("#people");
const problem = document.querySelector("#problem");

sessionStorage.clear(); // coming here is signing out

try {
  const people = await (await fetch("/sign-in/people")).json();
  list.replaceChildren(...people.map(choice));
} catch {
  problem.textContent = "The local stack does not answer. Is it running? Reload this page when it is.";
}

function choice(person) {
  const credits = person.credits === 1 ? "1 credit" : `${person.credits || "no"} credits`;
  const button = document.createElement("button");
  button.type = "button";
  button.append(
    words("strong", person.full_name),
    words("span", person.email),
    words("span", person.is_therapist ? "therapist" : `client, ${credits}`),
  );
  button.addEventListener("click", () => signIn(person));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function words(name, text) {
  const node = document.createElement(name);
  node.textContent = text;
  return node;
}

async function signIn(person) {
  const response = await fetch("/sign-in/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email: person.email }),
  });
  const { access_token: token, error } = await response.json();
  if (!token) {
    problem.textContent = error;
    return;
  }
  const home = HOMES[person.is_therapist];
  sessionStorage.setItem("session-approval-token", token);
  sessionStorage.setItem("session-approval-person", person.full_name);
  sessionStorage.setItem("session-approval-home", home);
  // Only to a page of this origin: any other address could be an attack.
  const next = new URL(new URLSearchParams(location.search).get("next") ?? home, location.origin);
  location.assign(next.origin === location.origin ? next.href : home);
}
