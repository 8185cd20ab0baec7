/** What the server says of masks on a photo. Corners are in the photo's own pixels. */

export type MaskReason = "home" | "victim" | "other";

export const MASK_REASONS: readonly MaskReason[] = ["home", "victim", "other"];

export interface Mask {
  mask_id: string;
  step: "made" | "taken_back";
  reason: MaskReason;
  author: string;
  at: string;
  corners: [number, number][];
  /** Who took it back on another box: it holds here until somebody here does. */
  asked_back: { author: string; at: string }[];
}

export interface PhotoMasks {
  size: [number, number];
  masks: Mask[];
}

export interface MaskAsked {
  photo: string;
  reason: MaskReason;
  corners: [number, number][];
}
