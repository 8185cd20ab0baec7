/** The rooms beside the map, fetched when they are entered: before/after, the review of changes, the meeting, the printed sheet, guests, tokens, masks on photos. */

import type Map from "ol/Map";
import type { PhotoSource } from "./api";
import type { ReviewView } from "./changes/view";
import type { CompareStage } from "./compare/stage";
import { el, setText } from "./dom";
import { t } from "./i18n";
import type { Communes } from "./map/communes";
import type { ConfirmedChanges } from "./map/confirmedChanges";
import type { MeasureTool } from "./measure/tool";
import type { MeetingView } from "./meeting/view";
import type { PhotoPointInfo } from "./photoPoint/view";
import type { State, Store } from "./state";

export interface ViewContext {
  store: Store;
  root: HTMLElement;
  stage: HTMLElement;
  mapElement: HTMLElement;
  map: Map;
  communes: Communes;
  confirmed: ConfirmedChanges;
  marks: { inMeeting: (isOn: boolean) => void };
  terrain: () => number[][];
  /** Closes the card of a place, and takes what it drew off the map. */
  unpick: () => void;
}

/** As long as the map waits whether a tap becomes a double one. */
const TAP_MS = 300;

export class ViewSwitcher {
  private compare: CompareStage | null = null;
  private meeting: MeetingView | null = null;
  private reviewed: ReviewView | null = null;
  private measuring: MeasureTool | null = null;
  private quietUntilMs = 0;
  private fetching: Promise<void> | null = null;
  private isPrinting = false;
  private isSharing = false;
  private areKeysOut = false;
  private isCovering = false;
  private isSpotting = false;
  readonly notice = el("p", { class: "room-notice", role: "alert", hidden: true });

  constructor(private readonly house: ViewContext) {}

  /** The map that is seen now. */
  get map(): Map {
    return this.compare?.map ?? this.house.map;
  }

  /** The maps that are seen now: two where pictures are compared. */
  get maps(): Map[] {
    return this.compare?.maps ?? [this.house.map];
  }

  /** Whether taps on the map are no questions about a place: corners of an outline, or of what is measured; in a meeting nothing answers. */
  get takesTaps(): boolean {
    return (this.meeting?.isOn ?? false) || (this.reviewed?.takesTaps ?? false) || this.measuring !== null || performance.now() < this.quietUntilMs;
  }

  render(state: State, before: State): void {
    this.meeting?.render(state);
    if (state.online && !before.online) {
      this.compare?.askAgain();
      this.meeting?.askAgain();
    }
    if (!state.compare) this.closeComparison();
    else if (this.compare) this.compare.render(state);
    else if (state.flights.length && (state.compare !== before.compare || state.flights !== before.flights)) void this.openComparison();
    this.reviewed?.render(state, before);
    this.measuring?.render(state, before);
  }

  /** What moves with the clock, and tiles that moved. */
  tick(state: State): void {
    this.compare?.render(state);
    this.meeting?.tick(state);
  }

  /** Resolves once what the state asks for is on the screen. */
  async settled(): Promise<void> {
    await this.fetching;
  }

  /** Enters the meeting; `waits`: to follow whoever will present. */
  async meet(waits = false): Promise<void> {
    if (!this.meeting) {
      const loaded = await import("./meeting/view").catch(() => this.failed());
      if (!loaded) return;
      this.meeting ??= new loaded.MeetingView(this.house, this);
    }
    this.reviewed?.close(); // candidates are not for the wall
    this.measuring?.close();
    this.house.unpick(); // the frame of a photo nobody in the room asked for
    this.meeting.enter();
    if (waits) this.meeting.wait();
  }

  /** What the map shows, on paper. */
  async printMap(): Promise<void> {
    if (this.isPrinting) return;
    this.isPrinting = true;
    const loaded = await import("./print/view").catch(() => this.failed());
    if (loaded) new loaded.PrintView(this.house, () => (this.isPrinting = false)).enter();
    else this.isPrinting = false;
  }

  /** Guests are invited, and what is restricted is listed. */
  async share(): Promise<void> {
    if (this.isSharing) return;
    this.isSharing = true;
    const loaded = await import("./sharing/view").catch(() => this.failed());
    if (loaded) new loaded.SharingView(this.house, () => (this.isSharing = false)).enter();
    else this.isSharing = false;
  }

  /** Tokens and one-time codes are made and ended. */
  async keys(): Promise<void> {
    if (this.areKeysOut) return;
    this.areKeysOut = true;
    const loaded = await import("./account/view").catch(() => this.failed());
    if (loaded) new loaded.AccountView(this.house.store.state, () => (this.areKeysOut = false)).enter();
    else this.areKeysOut = false;
  }

  /** Parts of a photo are covered; `onClose`: they may be other ones now. */
  async cover(photo: PhotoSource, onClose: () => void): Promise<void> {
    if (this.isCovering) return;
    this.isCovering = true;
    const closed = (): void => {
      this.isCovering = false;
      onClose();
    };
    const loaded = await import("./redactions/view").catch(() => this.failed());
    if (loaded) new loaded.RedactionView(photo, () => this.house.store.state, closed).enter();
    else this.isCovering = false;
  }

  /** A photo is seen with the place that was asked for. */
  async showSpot(photo: PhotoPointInfo): Promise<void> {
    if (this.isSpotting) return;
    this.isSpotting = true;
    const loaded = await import("./photoPoint/view").catch(() => this.failed());
    if (loaded) new loaded.PhotoPointView(photo, () => (this.isSpotting = false));
    else this.isSpotting = false;
  }

  /** Enters the review of changes, or leaves it. */
  async review(): Promise<void> {
    if (this.reviewed) return this.reviewed.close();
    const loaded = await import("./changes/view").catch(() => this.failed());
    if (loaded && !this.meeting?.isOn) this.reviewed ??= new loaded.ReviewView(this.house, this, () => (this.reviewed = null));
  }

  /** Lengths and areas are measured by taps, or no longer. */
  async measure(): Promise<void> {
    if (this.measuring) return this.measuring.close();
    const loaded = await import("./measure/tool").catch(() => this.failed());
    if (loaded && !this.meeting?.isOn && !this.compare) this.measuring ??= new loaded.MeasureTool(this.house, () => this.measured());
  }

  /** The last tap of what was measured is no question about a place. */
  private measured(): void {
    this.measuring = null;
    this.quietUntilMs = performance.now() + TAP_MS;
  }

  private async openComparison(): Promise<void> {
    this.fetching ??= this.fetchComparison().finally(() => (this.fetching = null));
    await this.fetching;
  }

  private async fetchComparison(): Promise<void> {
    const { store, root, stage, map, communes, confirmed, terrain } = this.house;
    const loaded = await import("./compare/stage").catch(() => this.failed());
    if (!loaded || !store.state.compare || this.compare) return;
    this.measuring?.close();
    const view = map.getView();
    map.setTarget(undefined); // one view is drawn once
    this.compare = new loaded.CompareStage(store, { view, terrain: terrain(), communes, confirmed }, () => this.meeting?.moved());
    stage.classList.add("comparing");
    root.classList.add("with-compare");
    stage.append(this.compare.element);
    this.compare.render(store.state, true);
    this.compare.attach();
    this.reviewed?.render(store.state, store.state);
  }

  private closeComparison(): void {
    if (!this.compare) return;
    this.compare.close();
    this.compare = null;
    this.house.stage.classList.remove("comparing");
    this.house.root.classList.remove("with-compare");
    this.house.map.setTarget(this.house.mapElement);
    this.house.communes.placeNames();
  }

  /** The page is older than the server, or the server is gone: what was to be opened cannot be. */
  private failed(): null {
    setText(this.notice, t("roomFailed"));
    this.notice.hidden = false;
    window.setTimeout(() => (this.notice.hidden = true), 8000);
    return null;
  }
}
