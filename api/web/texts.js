// Every word on the screens; docs/recipes.md says how a host page changes them.

const english = await fetch(new URL("texts.en.json", import.meta.url));

export const texts = { en: await english.json() };

/** The first of a person's languages that there are words for. */
export function languageOf(wanted) {
  return wanted.find((locale) => texts[locale.split("-")[0]]) ?? "en";
}

/** The words of a key, with {names} filled in; a number n chooses key.one or key.other. */
export function textOf(locale, own, key, values = {}) {
  const counted = "n" in values && `${key}.${new Intl.PluralRules(locale).select(values.n)}`;
  const tables = [own, texts[locale.split("-")[0]], texts.en];
  const found = tables.map((table) => table?.[counted] ?? table?.[key]).find(Boolean);
  return found?.replace(/{(\w+)}/g, (_, name) => values[name]) ?? "";
}
