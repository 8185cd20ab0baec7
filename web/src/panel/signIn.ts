/** The door: a token opens the map and is kept by the browser as a cookie scripts cannot read. */

import { api, ApiError, type Session } from "../api";
import { el, replaceChildren, setText } from "../dom";
import { language, setLanguage, t } from "../i18n";

const KEPT = "flycam-view";
const ENDED = "flycam-ended";

/** From a page whose session is over: nothing that it drew, or has in memory, stays. */
export function returnToSignIn(who: "guest" | "account"): void {
  sessionStorage.setItem(ENDED, who);
  document.getElementById("app")?.replaceChildren();
  window.location.reload();
}

/** Why somebody stands at the door again; null: they come for the first time, or went out by themselves. */
function takeEnded(): (() => string) | null {
  const who = sessionStorage.getItem(ENDED);
  sessionStorage.removeItem(ENDED);
  return who === null ? null : () => t(who === "guest" ? "guestEnded" : "sessionEnded");
}

/** What the address says after "#" does not travel to the sign-in service and back. */
function keepView(): void {
  sessionStorage.setItem(KEPT, window.location.hash);
}

/** Back from there: the view that the link named. */
export function restoreView(): void {
  const view = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (view && !window.location.hash) history.replaceState(null, "", view);
}

/** Where somebody stands at the door: before a page, or over one that waits for the same person (`ended` says why). */
interface Door {
  /** Where the province's own sign-in service, where one is configured, lets them out again. */
  page?: "map" | "upload";
  ended?: () => string;
  /** How a token is told to the server; an answer may bring more than who came. */
  enter?: (token: string) => Promise<Session>;
}

/** Who came in. */
export function showSignIn(parent: HTMLElement, { page = "map", ended, enter = api.login }: Door = {}): Promise<Session> {
  return new Promise((resolve) => {
    const input = el("input", { type: "password", autocomplete: "current-password", id: "token", required: true });
    // a code that is read out is typed letter by letter: who types it may see it
    const shown = el("input", { type: "checkbox", change: () => (input.type = shown.checked ? "text" : "password") });
    const why = ended ?? takeEnded();
    const problem = el("p", { class: "warning", hidden: why === null, role: "alert" }, why?.());
    const come = (session: Session): void => {
      door.remove();
      resolve(session);
    };
    const submit = (event: Event): void => {
      event.preventDefault();
      enter(input.value.trim())
        .then(come)
        .catch((error: unknown) => {
          problem.textContent = error instanceof ApiError ? error.message : t("offline");
          problem.hidden = false;
          input.select();
        });
    };
    let hasService = false;
    const form = el("form", { class: "login", submit });
    let drawForm = (): void =>
      replaceChildren(
        form,
        el("h1", {}, t("loginTitle")),
        el("p", {}, t("loginText")),
        el("label", { for: "token" }, t("loginToken")),
        input,
        el("label", { class: "login-shown" }, shown, t("loginShown")),
        problem,
        el("button", { type: "submit", class: "button" }, t("loginButton")),
        hasService && service(),
      );
    const service = (): HTMLElement => {
      const href = `/openid/begin?page=${page}`;
      if (!ended) return el("a", { class: "button", href, click: () => page === "map" && keepView() }, t("loginOpenid"));
      // what is typed on the page below stays only while this page does
      const look = (): void =>
        void api.session().then((session) => {
          window.removeEventListener("focus", look);
          if (door.isConnected) come(session);
        }, () => undefined);
      return el("a", { class: "button", href, target: "_blank", click: () => window.addEventListener("focus", look) }, t("loginOpenid"));
    };
    const door = el("div", { class: "door" });
    const draw = (): void => {
      const turned = (): void => {
        problem.hidden = why === null;
        setText(problem, why?.() ?? "");
        draw();
      };
      replaceChildren(door, languageButton(turned), form);
      drawForm();
    };
    draw();
    parent.append(door);
    input.focus();
    const setUp = async (): Promise<void> => {
      const first = await import("../account/setup");
      form.removeEventListener("submit", submit);
      const made = async (): Promise<void> => {
        await first.showSetup(form);
        come(await api.session());
      };
      drawForm = () => {
        // a token that was shown this once is not taken away by another language
        if (!form.querySelector(".once-secret")) void made();
      };
      drawForm();
    };
    const offer = async (): Promise<void> => {
      const ways = await api.waysIn();
      if (ways.setup) return setUp();
      hasService = ways.openid;
      if (hasService) drawForm();
    };
    offer().catch(() => undefined); // a token lets in all the same
  });
}

/** Whoever was here goes on; for anybody else nothing stays, and the page begins anew. */
export function continueAs(before: Session, now: Session): Promise<Session> {
  if (now.account?.name === before.account?.name && now.account?.role === before.account?.role) return Promise.resolve(now);
  document.getElementById("app")?.replaceChildren();
  window.location.reload();
  return new Promise(() => undefined);
}

/** Whoever was here comes in again over the page, which keeps what they typed or chose; anybody else begins anew. */
export async function signInAgain(before: Session, page: Door["page"] = "map"): Promise<Session> {
  const name = before.account?.name ?? "";
  const over = el("dialog", { class: "sign-in-again", "aria-label": t("loginTitle"), cancel: (event) => event.preventDefault() });
  over.addEventListener("close", () => over.isConnected && over.showModal()); // a browser may close it by Escape all the same
  document.body.append(over);
  over.showModal(); // over every other dialog, and hides all of it
  const came = await showSignIn(over, { page, ended: () => `${t("sessionEnded")} ${t("sessionKept", name)}` });
  const session = await continueAs(before, came);
  over.remove();
  return session;
}

/** The door has one too: whoever reads no Vietnamese has not come in yet. */
function languageButton(turned: () => void): HTMLElement {
  const other = language() === "vi" ? "en" : "vi";
  const turn = (): void => {
    setLanguage(other);
    localStorage.setItem("flycam.language", other);
    turned();
  };
  return el("button", { type: "button", class: "language", lang: other, click: turn }, other === "vi" ? "Tiếng Việt" : "English");
}
