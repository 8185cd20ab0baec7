/** Start of the upload page. */

import "../style.css";
import "./upload.css";
import { api, ApiError } from "../api";
import { el } from "../dom";
import { setLanguage } from "../i18n";
import { askForToken } from "../panel/login";
import { UploadPage } from "./page";

async function start(root: HTMLElement): Promise<void> {
  const linked = new URLSearchParams(window.location.hash.slice(1)).get("lang");
  setLanguage((linked ?? localStorage.getItem("flycam.language")) === "en" ? "en" : "vi");
  let asking: Promise<void> | null = null;
  const signIn = (): Promise<void> => {
    if (asking) return asking;
    const over = el("div", { class: "sign-in-over" });
    document.body.append(over);
    asking = askForToken(over, "upload").then(() => {
      over.remove();
      asking = null;
    });
    return asking;
  };
  const isIn = await api.session().then(
    () => true,
    (error: unknown) => {
      if (error instanceof ApiError && error.status === 401) return false;
      throw error;
    },
  );
  if (!isIn) await askForToken(root, "upload");
  await new UploadPage(root, signIn).start();
}

const RETRY_MS = 5000;
const app = document.getElementById("app");
if (app)
  start(app).catch((error: unknown) => {
    app.replaceChildren(el("p", { class: "fatal", role: "alert" }, error instanceof ApiError ? error.message : "Máy chủ không trả lời. No answer from the server."));
    window.setTimeout(() => window.location.reload(), RETRY_MS);
  });
