/** The first start: whoever has the code that the server printed makes the first administrator. */

import "./account.css";
import { api, ApiError } from "../api";
import { el, replaceChildren } from "../dom";
import { t as said } from "../i18n";
import { renderSecret } from "./secret";
import { t } from "./texts";

/** Resolves once the administrator is made, the token was shown, and this browser is let in. */
export function showSetup(form: HTMLFormElement): Promise<void> {
  return new Promise((resolve) => {
    const code = el("input", { type: "text", id: "setup-code", class: "setup-code", required: true, maxlength: 40, autocomplete: "off", autocapitalize: "characters", spellcheck: "false", placeholder: "XXXX-XXXX-XXXX" });
    const name = el("input", { type: "text", id: "setup-name", required: true, maxlength: 200, autocomplete: "name" });
    const problem = el("p", { class: "warning", hidden: true, role: "alert" });
    const button = el("button", { type: "submit", class: "button" }, t("setupButton"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!code.isConnected) return;
      button.disabled = true;
      api
        .setUp(code.value, name.value)
        .then(({ account, token }) => show(account.name, token))
        .catch((error: unknown) => {
          problem.textContent = error instanceof ApiError ? error.message : said("offline");
          problem.hidden = false;
          code.select();
        })
        .finally(() => (button.disabled = false));
    });
    const show = (who: string, token: string): void => {
      const open = el("button", { type: "button", class: "button", click: () => (form.remove(), resolve()) }, t("setupOpen"));
      replaceChildren(form, el("h1", { tabindex: -1 }, t("setupDone", who)), el("p", { role: "status" }, t("setupKeep")), renderSecret(token, said("loginToken")), open);
      form.querySelector("h1")?.focus();
    };
    replaceChildren(
      form,
      el("h1", {}, t("setup")),
      el("p", {}, t("setupText")),
      el("label", { for: code.id }, t("setupCode")),
      code,
      el("label", { for: name.id }, t("setupName")),
      name,
      problem,
      button,
      el("p", { class: "setup-lost" }, `${t("setupLost")} `, el("code", {}, "flycam account code")),
    );
    code.focus();
  });
}
