/** One's own decisions: each sent once though asked twice, and the last one undone. */

import { api, ApiError } from "../api";
import { newStepId, type ChangeLine, type DecisionRequest } from "./types";
import { t } from "./texts";

/** What was written, or why nothing was; `isStale`: because a change is not as this screen shows it; `isBusy`: because the step before is not answered yet. */
export type DecisionResult = { lines: ChangeLine[] } | { trouble: string; isStale: boolean; isBusy?: boolean };

export class Decisions {
  /** The step that can be undone; null: none can. */
  last: string | null = null;
  /** A step that was not answered: the same asked again is the same step. */
  private unanswered: { said: string; id: string } | null = null;
  private isSending = false;
  /** Of the list that is being worked on; another event's has another. */
  private turn = 0;

  forget(): void {
    [this.last, this.unanswered] = [null, null];
    this.turn += 1;
  }

  /** What is on record as one's own last step, of before this page was loaded, or of another screen. */
  async recall(eventId: string): Promise<void> {
    const { turn, last } = this;
    const found = await api.undoable(eventId).catch(() => null);
    if (found && turn === this.turn && last === this.last) this.last = found.steps[0] ?? null;
  }

  /** Null: the list was left meanwhile, and nobody here is to hear of it. */
  async send(step: DecisionRequest): Promise<DecisionResult | null> {
    if (this.isSending) return { trouble: t("saving"), isStale: false, isBusy: true };
    const { turn } = this;
    const said = JSON.stringify(step);
    const id = this.unanswered?.said === said ? this.unanswered.id : newStepId();
    this.isSending = true;
    try {
      const { features } = await api.decide(id, step);
      if (turn !== this.turn) return null;
      this.unanswered = null;
      this.last = step.action === "undo" ? null : id;
      return { lines: features };
    } catch (error) {
      if (turn !== this.turn) return null;
      if (!(error instanceof ApiError)) {
        this.unanswered = { said, id };
        if (step.action !== "undo") this.last = id; // it may be written
        return { trouble: t("notSaved"), isStale: false };
      }
      this.unanswered = null;
      return { trouble: error.message, isStale: error.status === 409 || error.status === 404 };
    } finally {
      this.isSending = false;
    }
  }
}
