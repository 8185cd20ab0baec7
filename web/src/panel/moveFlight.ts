/** A flight that was brought under the wrong storm, into another event: a line on its card, for who may move it. */

import { api, ApiError, type EventInfo, type FlightInfo, type Session } from "../api";
import { el, replaceChildren, setText } from "../dom";
import { t } from "../i18n";
import { canWrite } from "../marks";

const OPERATOR = "operator";

/** Operators move their own flights, whoever is above them every one. */
export function canMove(session: Session | null, flight: FlightInfo): boolean {
  if (!canWrite(session) || flight.state === "ingesting") return false;
  const account = session?.account;
  return account?.role !== OPERATOR || account.name === flight.operator;
}

/** Which event it is, and a field for another; `moved` is called with the event in which it lies then. */
export class MoveForm {
  readonly element: HTMLElement;
  private readonly summary = el("summary");
  private readonly field: HTMLInputElement;
  private readonly choices: HTMLElement;
  private readonly button = el("button", { type: "submit" }, t("moveFlight"));
  private readonly said = el("p", { class: "warning", role: "alert" });
  private others: readonly EventInfo[] = [];

  constructor(
    private readonly flight: FlightInfo,
    private readonly moved: (event: EventInfo) => void,
  ) {
    const [id, list] = [`move-${flight.flight_id}`, `events-for-${flight.flight_id}`];
    this.field = el("input", { id, list, maxlength: 200, autocomplete: "off", placeholder: t("moveOrNew"), required: true });
    this.choices = el("datalist", { id: list });
    this.said.hidden = true;
    const form = el("form", { submit: (event) => void this.send(event) }, el("label", { for: id }, t("moveTo")), this.field, this.choices, this.button);
    this.element = el("details", { class: "flight-move" }, this.summary, form, this.said);
  }

  /** The events there are now, among which the field finds another by its name. */
  offer(events: readonly EventInfo[]): void {
    const { event_id, is_drill } = this.flight;
    const here = events.find((one) => one.event_id === event_id);
    this.others = events.filter((one) => one.event_id !== event_id && one.is_drill === is_drill);
    setText(this.summary, `${t("event")}: ${here?.name ?? event_id}`);
    replaceChildren(this.choices, ...this.others.map((one) => el("option", { value: one.name })));
  }

  private async send(event: Event): Promise<void> {
    event.preventDefault();
    const name = this.field.value.trim();
    if (!name) return;
    this.button.disabled = true;
    try {
      const answer = await api.moveFlight(this.flight.flight_id, this.others.find((one) => one.name === name)?.event_id ?? name);
      this.moved(answer.event);
    } catch (error) {
      this.said.textContent = error instanceof ApiError ? error.message : t("noAnswer");
      this.said.hidden = false;
      this.button.disabled = false;
    }
  }
}
