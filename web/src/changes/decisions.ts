/** Decisions of this screen: each sent once though asked twice, and undone one after another. */

import { api, ApiError } from "../api";
import { newStepId, type ChangeLine, type StepAsked } from "./changes";
import { t } from "./words";

/** What was written, or why nothing was; `isStale`: because a change is not as this screen shows it. */
export type Decided = { lines: ChangeLine[] } | { trouble: string; isStale: boolean };

export class Decisions {
  /** Steps that can be undone, the last one last. */
  private steps: string[] = [];
  /** A step that was not answered: the same asked again is the same step. */
  private unanswered: { said: string; id: string } | null = null;
  private isSending = false;

  /** The step to undo next. */
  get last(): string | undefined {
    return this.steps[this.steps.length - 1];
  }

  forget(): void {
    [this.steps, this.unanswered] = [[], null];
  }

  /** Null: another decision is under way, and this one was not asked for. */
  async send(step: StepAsked): Promise<Decided | null> {
    if (this.isSending) return null;
    const said = JSON.stringify(step);
    const id = this.unanswered?.said === said ? this.unanswered.id : newStepId();
    this.isSending = true;
    try {
      const { features } = await api.decide(id, step);
      this.unanswered = null;
      if (step.action === "undo") this.steps.pop();
      else this.steps.push(id);
      return { lines: features };
    } catch (error) {
      if (!(error instanceof ApiError)) {
        this.unanswered = { said, id };
        return { trouble: t("notSaved"), isStale: false };
      }
      this.unanswered = null;
      return { trouble: error.message, isStale: error.status === 409 || error.status === 404 };
    } finally {
      this.isSending = false;
    }
  }
}
