/** The card of a confirmed change on the map: what it is, who confirmed it, what it touches. */

import { el } from "../dom";
import { t } from "../i18n";
import { formatNumber } from "../numbers";
import type { PhotoCard } from "../panel/photoCard";
import type { State } from "../state";
import { formatTime } from "../time";
import { formatChangeKind, formatChangeSize, type ChangeLine } from "./types";
import { Impacts, renderImpact } from "./impact";

export class ChangeCard {
  private readonly impacts = new Impacts();

  constructor(private readonly card: PhotoCard) {}

  /** `onPhoto`: the reader would see the photo of the place that was tapped; `onGrown`: the card is as large as it gets. */
  show(change: ChangeLine, state: () => State, onPhoto: () => void, onGrown: () => void): void {
    this.impacts.forget(); // layers may have been read again since
    const read = (): void => {
      if (this.card.element.hidden) return;
      this.card.render(state().nowMs);
      onGrown();
    };
    const minute = (): string => String(Math.floor(state().nowMs / 60_000));
    const says = (): [string, HTMLElement[]] => {
      const touched = renderImpact(this.impacts.of(change.properties, read), state().nowMs);
      return [formatChangeKind(change.properties.kind), [...facts(change, onPhoto), ...touched]];
    };
    this.card.tell(says, minute);
  }
}

function facts({ properties }: ChangeLine, onPhoto: () => void): HTMLElement[] {
  const { error_m, commune, commune_name, note, note_by, decided_by, decided } = properties;
  const said: [string, string][] = [
    [t("changeSize"), formatChangeSize(properties)],
    ...(error_m === null ? [] : [[t("changePlace"), t("changeOff", formatNumber(error_m, 1))] as [string, string]]),
    ...(commune_name || commune ? [[t("commune"), commune_name || commune] as [string, string]] : []),
    ...(decided_by && decided ? [[t("changeBy"), `${decided_by}\n${formatTime(decided)}`] as [string, string]] : []),
    ...(note ? [[t("markNote"), note_by && note_by !== decided_by ? `${note}\n${note_by}` : note] as [string, string]] : []),
  ];
  return [
    el("dl", {}, ...said.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])),
    el("button", { type: "button", class: "to-photo", click: onPhoto }, t("changePhoto")),
  ];
}
