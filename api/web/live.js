// When elements look again: one of them has changed a session, or the page is seen again, or has been for a while.

const EVERY = 5; // seconds

/** The elements on the page. Each has refresh(anew) and tick(). */
export const elements = new Set();

let seconds = 0;

export function look(anew, except) {
  if (document.hidden) return;
  for (const element of elements) if (element !== except) element.refresh(anew);
}

for (const name of ["visibilitychange", "pageshow", "online"]) addEventListener(name, () => look(true));

setInterval(() => {
  if (document.hidden) return;
  for (const element of elements) element.tick();
  seconds += 1;
  if (seconds % EVERY === 0) look(false);
}, 1000);
