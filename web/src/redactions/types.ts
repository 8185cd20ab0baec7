/** What the server says of masks on a photo. Corners are in the photo's own pixels. */

export type RedactionReason = "home" | "victim" | "other";

export const REDACTION_REASONS: readonly RedactionReason[] = ["home", "victim", "other"];

export interface Redaction {
  mask_id: string;
  step: "made" | "taken_back";
  reason: RedactionReason;
  author: string;
  at: string;
  corners: [number, number][];
  /** Who took it back on another box: it holds here until somebody here does. */
  asked_back: { author: string; at: string }[];
}

export interface PhotoRedactions {
  size: [number, number];
  masks: Redaction[];
}

export interface RedactionRequest {
  photo: string;
  reason: RedactionReason;
  corners: [number, number][];
}
