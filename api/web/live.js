// When elements load again: after a change by one, when the page is seen again, and every few seconds.

const EVERY = 5000; // milliseconds

/** The elements on the page. Each has refresh(anew) and tick(). */
export const elements = new Set();

export function look(anew, except) {
  if (document.hidden) return;
  for (const element of elements) if (element !== except) element.refresh(anew);
}

for (const name of ["visibilitychange", "pageshow", "online"]) addEventListener(name, () => look(true));

setInterval(look, EVERY);

setInterval(() => {
  if (!document.hidden) for (const element of elements) element.tick();
}, 1000);
