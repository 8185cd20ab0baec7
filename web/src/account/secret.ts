/** A secret that is on the page once: to be read, and copied. */

import { copyButton } from "../clipboard";
import { el } from "../dom";
import { t } from "./texts";

/** What is longer stands on two rows, so that all of it can be read. */
const ONE_ROW = 20;

/** Selected as a whole when it is touched: where no page may use the clipboard it is copied by hand. */
export function renderSecret(secret: string, name: string): HTMLElement {
  const rows = secret.length > ONE_ROW ? 2 : 1;
  const field = el("textarea", { readonly: true, rows, "aria-label": name, class: "once-secret", spellcheck: "false", focus: () => field.select() }, secret);
  return el("div", { class: "once" }, field, copyButton(t("copy"), () => secret));
}
