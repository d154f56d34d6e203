// The local sign-in: choose a person, keep their token for this tab, go to their dashboard.

const list = document.querySelector("#people");
const people = await (await fetch("/sign-in/people")).json();

for (const person of people) {
  const button = document.createElement("button");
  const credits = person.is_therapist ? "therapist" : `client, ${person.credits} credit(s) to spend`;
  button.textContent = `${person.full_name} (${credits})`;
  button.addEventListener("click", () => signIn(person));
  const item = document.createElement("li");
  item.append(button);
  list.append(item);
}

async function signIn(person) {
  const response = await fetch("/sign-in/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email: person.email }),
  });
  const { access_token: token } = await response.json();
  sessionStorage.setItem("session-approval-token", token);
  const next = new URLSearchParams(location.search).get("next");
  const home = person.is_therapist ? "/therapist/dashboard/create-session" : "/dashboard/therapy";
  location.assign(next?.startsWith("/") && !next.startsWith("//") ? next : home);
}
