/** The meeting pack of a flight: asked for, watched while the server makes it, fetched. A line of the flight's card. */

import { api, ApiError, NoAnswer, packFileUrl, type PackInfo } from "../api";
import { el } from "../dom";
import { inLanguage, language, t } from "../i18n";
import { size } from "../upload/size";

const LOOK_MS = 1500;
const UNDER_WAY = ["waiting", "making"];

export class Packs {
  private readonly packs = new Map<string, PackInfo>();
  private readonly troubles = new Map<string, string>();

  constructor(private readonly changed: () => void) {}

  button(flightId: string): HTMLElement {
    const disabled = this.isUnderWay(flightId);
    return el("button", { type: "button", class: "pack", disabled, click: () => void this.ask(flightId) }, t("pack"));
  }

  /** What became of it; nothing where none was asked for in this language. */
  line(flightId: string): HTMLElement | null {
    const pack = this.packs.get(key(flightId));
    const trouble = this.troubles.get(key(flightId)) ?? (pack?.state === "failed" ? inLanguage(pack.sentence_vi, pack.sentence) : "");
    if (trouble) return el("p", { class: "warning pack-line", role: "alert" }, trouble);
    if (!pack) return null;
    if (this.isUnderWay(flightId)) return el("p", { class: "pack-line", role: "status" }, t("packMaking"));
    const link = el("a", { href: packFileUrl(pack.pack_id), download: "" }, t("packFetch", size(pack.size)));
    return el("p", { class: "pack-line", role: "status" }, link, ` ${t("packDraft")}`);
  }

  private isUnderWay(flightId: string): boolean {
    return UNDER_WAY.includes(this.packs.get(key(flightId))?.state ?? "");
  }

  private async ask(flightId: string): Promise<void> {
    const asked = key(flightId);
    this.troubles.delete(asked);
    try {
      this.know(asked, await api.askPack([flightId], language()));
      while (UNDER_WAY.includes(this.packs.get(asked)?.state ?? "")) {
        await new Promise((done) => window.setTimeout(done, LOOK_MS));
        this.know(asked, await this.look(this.packs.get(asked)!));
      }
    } catch (error) {
      this.packs.delete(asked);
      this.troubles.set(asked, error instanceof ApiError ? error.message : t("noAnswer"));
      this.changed();
    }
  }

  /** A line that is down for a while says nothing of the pack: it stays as it was. */
  private async look(pack: PackInfo): Promise<PackInfo> {
    return api.pack(pack.pack_id).catch((error: unknown) => {
      if (error instanceof NoAnswer) return pack;
      throw error;
    });
  }

  private know(asked: string, pack: PackInfo): void {
    const before = this.packs.get(asked);
    this.packs.set(asked, pack);
    if (before?.pack_id !== pack.pack_id || before.state !== pack.state) this.changed();
  }
}

function key(flightId: string): string {
  return `${flightId} ${language()}`;
}
