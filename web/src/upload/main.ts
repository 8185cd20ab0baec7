/** Start of the upload page. */

import "../style.css";
import "./upload.css";
import { api, ApiError, fetchSession } from "../api";
import { el } from "../dom";
import { setLanguage } from "../i18n";
import { signInAgain, showSignIn, continueAs } from "../panel/signIn";
import { UploadPage } from "./page";

async function start(root: HTMLElement): Promise<void> {
  const linked = new URLSearchParams(window.location.hash.slice(1)).get("lang");
  setLanguage((linked ?? localStorage.getItem("flycam.language")) === "en" ? "en" : "vi");
  const session = await api.session().catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 401) return showSignIn(root, { page: "upload" });
    throw error;
  });
  // over the page: the card that was chosen is gone with it
  const comeAgain = async (): Promise<void> => {
    const who = await fetchSession();
    if (who === "nobody") await signInAgain(session, "upload");
    else if (who) await continueAs(session, who);
  };
  let asking: Promise<void> | null = null;
  const signIn = (): Promise<void> => (asking ??= comeAgain().finally(() => (asking = null)));
  await new UploadPage(root, signIn).start();
}

const RETRY_MS = 5000;
const app = document.getElementById("app");
if (app)
  start(app).catch((error: unknown) => {
    app.replaceChildren(el("p", { class: "fatal", role: "alert" }, error instanceof ApiError ? error.message : "Máy chủ không trả lời. No answer from the server."));
    window.setTimeout(() => window.location.reload(), RETRY_MS);
  });
