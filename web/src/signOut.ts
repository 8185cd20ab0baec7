/** Signing out. */

import { api, ApiError } from "./api";
import { t } from "./i18n";

/** To the door; `say` hears why somebody is still signed in, for a shared computer is walked away from. */
export async function signOut(name: string, say: (trouble: string) => void): Promise<void> {
  say("");
  try {
    await api.logout();
    window.location.reload();
  } catch (error) {
    say(t("notLeft", name, error instanceof ApiError ? error.message : t("noAnswer")));
  }
}
