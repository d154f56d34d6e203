// <credit-balance>: what the client can spend, and what ends next.

import { define, h } from "./element.js";

define("credit-balance", ({ t, api, credits, dates, purchaseLink }) => {
  const body = h("div", h("p.hint", t("loading")));
  const title = h("h2", { id: "title" }, t("wallet"));

  return {
    nodes: [h("section.card.balance", { "aria-labelledby": "title" }, title, body)],

    load: () => api("GET", "/credits/user"),

    show({ credits_balance: n, credits_low: isLow, lots }) {
      const next = lots.find((lot) => lot.is_spendable && lot.expires_at);
      const ending = next && { credits: credits(next.credits_balance), day: dates.day(next.expires_at) };
      body.replaceChildren(
        h("p.sum", h("strong", String(n)), ` ${t("creditsUnit", { n })}`),
        h("p.hint", ending && t("ending", ending), " ", t(n ? isLow && "creditsLow" : "creditsNone")),
        (isLow && purchaseLink()) || "",
      );
    },
  };
});
