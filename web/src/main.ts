/** Start: ask who is there, read what was flown, draw it, then follow the tile log. */

import "./style.css";
import { api, ApiError, type InitialLists, type Session } from "./api";
import { el } from "./dom";
import { language, setLanguage, t } from "./i18n";
import { fetchInitialLists } from "./initialData";
import { isGuest } from "./marks";
import { showSignIn, restoreView } from "./panel/signIn";
import { initialState, Store } from "./state";
import { setAccessVersion } from "./tileVersions";

// The map's own program is most of all bytes: it comes while the server says who is there, and while somebody signs in.
const program = import("./application");
program.catch(() => undefined);

async function start(): Promise<void> {
  const root = document.getElementById("app");
  if (!root) return;
  restoreView();
  const store = new Store(initialState());
  setLanguage(store.state.language);
  const brought: { lists?: Promise<InitialLists> } = {};
  const enter = async (token: string): Promise<Session> => {
    const { session, lists } = await api.arrive(token);
    if (lists) brought.lists = Promise.resolve(lists);
    return session;
  };
  const session = await api.session().catch(async (error: unknown) => {
    if (!(error instanceof ApiError) || ![401, 403].includes(error.status)) throw error;
    const signedIn = await showSignIn(root, { enter });
    store.set({ language: language() });
    return signedIn;
  });
  if (session.scope === "uploads") return window.location.replace("./upload.html"); // the token is for nothing else here
  const lists = brought.lists ?? fetchInitialLists();
  lists.catch(() => undefined);
  setAccessVersion(session.withheld);
  store.set(isGuest(session) ? { session, tab: "list" } : { session });
  const { Application } = await program;
  await new Application(root, store).start(await lists);
}

// another link pasted over this one: a browser alone would change nothing, and its reader look at the wrong place
window.addEventListener("hashchange", () => window.location.reload());

const RETRY_MS = 10_000;

start().catch((error: unknown) => {
  const why = error instanceof ApiError ? error.message : t("noAnswer");
  document.getElementById("app")?.replaceChildren(el("p", { class: "fatal", role: "alert" }, t("fatal", why)));
  window.setTimeout(() => window.location.reload(), RETRY_MS);
});
