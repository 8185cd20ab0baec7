/** A flight that was brought under the wrong storm, into another event: a line on its card, for who may move it. */

import { api, ApiError, type EventInfo, type FlightInfo, type Session } from "../api";
import { el } from "../dom";
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
export function createMoveForm(flight: FlightInfo, events: readonly EventInfo[], moved: (event: EventInfo) => void): HTMLElement {
  const here = events.find((one) => one.event_id === flight.event_id);
  const others = events.filter((one) => one.event_id !== flight.event_id && one.is_drill === flight.is_drill);
  const [id, list] = [`move-${flight.flight_id}`, `events-for-${flight.flight_id}`];
  const field = el("input", { id, list, maxlength: 200, autocomplete: "off", placeholder: t("moveOrNew"), required: true });
  const said = el("p", { class: "warning", role: "alert" });
  said.hidden = true;
  const button = el("button", { type: "submit" }, t("moveFlight"));
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    const name = field.value.trim();
    if (!name) return;
    button.disabled = true;
    try {
      const answer = await api.moveFlight(flight.flight_id, others.find((one) => one.name === name)?.event_id ?? name);
      moved(answer.event);
    } catch (error) {
      said.textContent = error instanceof ApiError ? error.message : t("noAnswer");
      said.hidden = false;
      button.disabled = false;
    }
  };
  return el(
    "details",
    { class: "flight-move" },
    el("summary", {}, `${t("event")}: ${here?.name ?? flight.event_id}`),
    el(
      "form",
      { submit: (event) => void send(event) },
      el("label", { for: id }, t("moveTo")),
      field,
      el("datalist", { id: list }, ...others.map((one) => el("option", { value: one.name }))),
      button,
    ),
    said,
  );
}
