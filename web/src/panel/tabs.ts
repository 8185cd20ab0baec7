/** Which of the two lists stands beside the map: flights and layers, or the board of communes. */

import { el, replaceChildren } from "../dom";
import { t } from "../i18n";
import { isGuest } from "../marks";
import type { State, Store, Tab } from "../state";

const TABS: readonly Tab[] = ["list", "board"];

export class Tabs {
  readonly element = el("div", { class: "tabs", role: "tablist" });

  constructor(
    private readonly store: Store,
    private readonly panels: Record<Tab, HTMLElement>,
  ) {
    for (const tab of TABS) this.panels[tab].setAttribute("role", "tabpanel");
    this.element.addEventListener("keydown", (event) => this.onKey(event));
  }

  get lists(): HTMLElement[] {
    return TABS.map((tab) => this.panels[tab]);
  }

  render(state: State): void {
    const held = this.element.contains(document.activeElement);
    this.element.hidden = isGuest(state.session); // the board is not for them
    replaceChildren(this.element, ...TABS.map((tab) => this.tab(state, tab)));
    for (const tab of TABS) this.panels[tab].hidden = tab !== state.tab;
    if (held) this.element.querySelector<HTMLElement>('[aria-selected="true"]')?.focus();
  }

  private tab(state: State, tab: Tab): HTMLElement {
    const isChosen = tab === state.tab;
    return el(
      "button",
      { type: "button", role: "tab", "aria-selected": String(isChosen), tabindex: isChosen ? 0 : -1, click: () => this.store.set({ tab }) },
      t(tab === "list" ? "tabList" : "tabBoard"),
    );
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    this.store.set({ tab: this.store.state.tab === "list" ? "board" : "list" });
  }
}
