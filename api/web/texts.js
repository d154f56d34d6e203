// Every word on the screens; docs/recipes.md says how a host page changes them.

const tables = ["en", "de"].map(async (language) => {
  const table = await fetch(new URL(`texts.${language}.json`, import.meta.url));
  return [language, await table.json()];
});

export const texts = Object.fromEntries(await Promise.all(tables));

const base = (locale) => locale.split("-")[0];

/** The first language wanted that has words, with the browser's region: en is en-GB to a Briton. */
export function languageOf(wanted) {
  const found = wanted.find((locale) => texts[base(locale)]) ?? "en";
  return navigator.languages.find((locale) => base(locale) === found) ?? found;
}

/** The words of a key, with {names} filled in; a number n chooses key.one or key.other. */
export function textOf(locale, own, key, values = {}) {
  const counted = "n" in values && `${key}.${new Intl.PluralRules(locale).select(values.n)}`;
  const found = [own, texts[base(locale)], texts.en].map((table) => table?.[counted] ?? table?.[key]).find(Boolean);
  return found?.replace(/{(\w+)}/g, (_, name) => values[name]) ?? "";
}
