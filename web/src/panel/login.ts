/** The door: a token opens the map and is kept by the browser as a cookie scripts cannot read. */

import { api, ApiError, type Session } from "../api";
import { el } from "../dom";
import { t } from "../i18n";

const KEPT = "flycam-view";
const ENDED = "flycam-ended";

/** From a page whose session is over: nothing that it drew, or has in memory, stays. */
export function toTheDoor(who: "guest" | "account"): void {
  sessionStorage.setItem(ENDED, who);
  document.getElementById("app")?.replaceChildren();
  window.location.reload();
}

/** Why somebody stands at the door again; null: they come for the first time, or went out by themselves. */
function takeEnded(): string | null {
  const who = sessionStorage.getItem(ENDED);
  sessionStorage.removeItem(ENDED);
  return who && t(who === "guest" ? "guestEnded" : "sessionEnded");
}

/** What the address says after "#" does not travel to the sign-in service and back. */
function keepView(): void {
  sessionStorage.setItem(KEPT, window.location.hash);
}

/** Back from there: the view that the link named. */
export function takeKeptView(): void {
  const view = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (view && !window.location.hash) history.replaceState(null, "", view);
}

/** Who came in. page: where the province's own sign-in service, where one is configured, lets them out again. */
export function askForToken(parent: HTMLElement, page: "map" | "upload" = "map"): Promise<Session> {
  return new Promise((resolve) => {
    const input = el("input", { type: "password", autocomplete: "current-password", id: "token", required: true });
    // a code that is read out is typed letter by letter: who types it may see it
    const shown = el("input", { type: "checkbox", change: () => (input.type = shown.checked ? "text" : "password") });
    const ended = takeEnded();
    const problem = el("p", { class: "warning", hidden: ended === null, role: "alert" }, ended);
    const submit = (event: Event): void => {
      event.preventDefault();
      api
        .login(input.value.trim())
        .then((session) => {
          form.remove();
          resolve(session);
        })
        .catch((error: unknown) => {
          problem.textContent = error instanceof ApiError ? error.message : t("offline");
          problem.hidden = false;
          input.select();
        });
    };
    const form = el(
      "form",
      { class: "login", submit },
      el("h1", {}, t("loginTitle")),
      el("p", {}, t("loginText")),
      el("label", { for: "token" }, t("loginToken")),
      input,
      el("label", { class: "login-shown" }, shown, t("loginShown")),
      problem,
      el("button", { type: "submit", class: "button" }, t("loginButton")),
    );
    parent.append(form);
    input.focus();
    const setUp = async (): Promise<void> => {
      const first = await import("../account/setup");
      form.removeEventListener("submit", submit);
      await first.setUp(form);
      resolve(await api.session());
    };
    const offer = async (): Promise<void> => {
      const ways = await api.waysIn();
      if (ways.setup) return setUp();
      if (ways.openid)
        form.append(el("a", { class: "button", href: `/openid/begin?page=${page}`, click: () => page === "map" && keepView() }, t("loginOpenid")));
    };
    offer().catch(() => undefined); // a token lets in all the same
  });
}
