// Moments in words: in one time zone, as one language writes them, absolute and relative.

const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const formats = {};

function formatOf(locale, options) {
  return (formats[locale + JSON.stringify(options)] ??= new Intl.DateTimeFormat(locale, options));
}

// What a zone's clocks show at a moment, as if they were UTC's.
export function wall(moment, timeZone) {
  const shown = formatOf("sv", { dateStyle: "short", timeStyle: "medium", timeZone }).format(moment);
  return Date.parse(`${shown.replace(" ", "T")}Z`);
}

/** When a zone's clocks show a date and a time; NaN while one is missing. */
export function momentOf(date, time, zone) {
  const wanted = Date.parse(`${date}T${time}Z`);
  const near = wanted && 2 * wanted - wall(wanted, zone);
  return near && near + wanted - wall(near, zone);
}

/** What is left, as a clock shows it: 3:07. */
export function clock(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Moments in words, in one language and one zone: the device's own if none is given. */
export function datesIn(locale, named) {
  const zone = named || new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const format = (options) => (moment, timeZone = zone) =>
    formatOf(locale, { timeZone, ...options }).format(new Date(moment));
  const midnights = (moment) => Math.floor(wall(moment, zone) / DAY);
  return {
    locale,
    zone,
    day: format({ dateStyle: "medium" }),
    moment: format({ weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" }),
    span({ start_time: start, end_time: end }, timeZone = zone) {
      const format = formatOf(locale, { dateStyle: "full", timeStyle: "short", timeZone });
      return format.formatRange(new Date(start), new Date(end)).replace("–", "–\u2060");
    },
    relative(moment, now) {
      const left = new Date(moment) - now;
      const [n, unit] =
        Math.abs(left) < HOUR ? [Math.round(left / MINUTE), "minute"]
        : Math.abs(left) < DAY ? [Math.round(left / HOUR), "hour"]
        : [midnights(now + left) - midnights(now), "day"];
      return new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(n, unit);
    },
  };
}
