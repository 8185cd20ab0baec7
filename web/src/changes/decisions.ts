/** One's own decisions: each sent once though asked twice, and undone one after another. */

import { api, ApiError } from "../api";
import { newStepId, type ChangeLine, type StepAsked } from "./changes";
import { t } from "./words";

/** What was written, or why nothing was; `isStale`: because a change is not as this screen shows it; `isBusy`: because the step before is not answered yet. */
export type Decided = { lines: ChangeLine[] } | { trouble: string; isStale: boolean; isBusy?: boolean };

export class Decisions {
  /** Steps that can be undone, the last one last. */
  private steps: string[] = [];
  /** A step that was not answered: the same asked again is the same step. */
  private unanswered: { said: string; id: string } | null = null;
  private isSending = false;
  /** Of the list that is being worked on; another event's has another. */
  private turn = 0;

  /** The step to undo next. */
  get last(): string | undefined {
    return this.steps[this.steps.length - 1];
  }

  /** Own steps that are on record, the last one last: of before this page was loaded, or of another screen. */
  recall(steps: readonly string[]): void {
    this.steps = [...steps.filter((one) => !this.steps.includes(one)), ...this.steps];
  }

  forget(): void {
    [this.steps, this.unanswered] = [[], null];
    this.turn += 1;
  }

  /** Null: the list was left meanwhile, and nobody here is to hear of it. */
  async send(step: StepAsked): Promise<Decided | null> {
    if (this.isSending) return { trouble: t("saving"), isStale: false, isBusy: true };
    const { turn } = this;
    const said = JSON.stringify(step);
    const id = this.unanswered?.said === said ? this.unanswered.id : newStepId();
    this.isSending = true;
    try {
      const { features } = await api.decide(id, step);
      if (turn !== this.turn) return null;
      this.unanswered = null;
      if (step.action === "undo") this.forgetStep(step.undoes);
      else this.remember(id);
      return { lines: features };
    } catch (error) {
      if (turn !== this.turn) return null;
      if (!(error instanceof ApiError)) {
        this.unanswered = { said, id };
        if (step.action !== "undo") this.remember(id); // it may be written: undone before what came before it
        return { trouble: t("notSaved"), isStale: false };
      }
      this.unanswered = null;
      const isStale = error.status === 409 || error.status === 404;
      if (step.action === "undo" && isStale) this.forgetStep(step.undoes); // others went on from there: those before it can be undone
      else this.forgetStep(id);
      return { trouble: error.message, isStale };
    } finally {
      this.isSending = false;
    }
  }

  private remember(id: string): void {
    if (!this.steps.includes(id)) this.steps.push(id);
  }

  private forgetStep(id: string | undefined): void {
    this.steps = this.steps.filter((one) => one !== id);
  }
}
