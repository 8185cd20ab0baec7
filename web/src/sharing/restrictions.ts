/** What is withheld from whom: restricted areas that the reader sees into, flights and layers that are not open. */

import { api } from "../api";
import { el, replaceChildren } from "../dom";
import { t as said } from "../i18n";
import type { State } from "../state";
import { formatTime } from "../time";
import type { RestrictedArea } from "./types";
import { roleName, t } from "./texts";

export class Restrictions {
  readonly element = el("section", {});
  private areas: RestrictedArea[] | null = null;
  private isUnread = false;

  constructor(private readonly state: () => State) {}

  async read(): Promise<void> {
    this.render();
    this.areas = await api.restricted().catch(() => null);
    this.isUnread = this.areas === null;
    this.render();
  }

  private render(): void {
    replaceChildren(this.element, el("h2", {}, t("restrictions")), ...this.ofAreas(), ...this.ofLevels());
  }

  private ofAreas(): HTMLElement[] {
    if (!this.areas) return [el("p", { role: "status", class: this.isUnread ? "warning" : "" }, t(this.isUnread ? "unread" : "reading"))];
    if (!this.areas.length) return [el("p", { class: "sharing-empty" }, t("areasNone"))];
    const row = ({ area_id, name, roles, added }: RestrictedArea): HTMLElement =>
      el(
        "li",
        { "data-area": area_id },
        el("div", {}, el("strong", {}, name), el("small", {}, `${t("seenBy", roles.map(roleName).join(", "))} · ${t("since", formatTime(added))}`)),
      );
    return [el("h3", {}, t("areas", this.areas.length)), el("p", { class: "sharing-note" }, t("areasNote")), el("ul", {}, ...this.areas.map(row))];
  }

  private ofLevels(): HTMLElement[] {
    const { flights, specialist } = this.state();
    const named = [
      ...flights.map(({ flight_id, name, classification }) => ({ id: flight_id, name, classification, kind: t("flight") })),
      ...specialist.map(({ layer_id, name, classification }) => ({ id: layer_id, name, classification, kind: t("layer") })),
    ].filter(({ classification }) => classification !== "open");
    if (!named.length) return [el("p", { class: "sharing-empty" }, t("levelsNone"))];
    const rows = named.map(({ id, name, classification, kind }) =>
      el("li", { "data-level": id }, el("div", {}, el("strong", {}, name), el("small", {}, kind)), el("span", { class: "level-badge" }, said(classification === "internal" ? "internal" : "restricted"))),
    );
    return [el("h3", {}, t("levels", named.length)), el("p", { class: "sharing-note" }, t("levelsNote")), el("ul", {}, ...rows)];
  }
}
