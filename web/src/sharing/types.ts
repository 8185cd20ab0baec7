/** What the server says of guest links, of restricted areas, and of what is kept how long. */

/** A link for whoever has it, as it is listed: what opens it is not told again. */
export interface GuestLink {
  guest_id: string;
  event_id: string | null;
  /** None: all. */
  communes: { code: string; name: string }[];
  made_by: string;
  expires: string;
  revoked: boolean;
}

export interface NewGuestLink extends GuestLink {
  path: string;
}

export interface RestrictedArea {
  area_id: string;
  name: string;
  /** Who still sees it. */
  roles: string[];
  added: string;
}

export type RetainedKind = "photo" | "video" | "mark_photo" | "upload";

/** days null: for ever; event null: of the house. */
export interface RetentionTerm {
  kind: RetainedKind;
  days: number | null;
  event: string | null;
  by: string;
  at: string;
}

export interface RetentionHold {
  hold_id: string;
  name: string;
  reason: string;
  by: string;
  at: string;
}

/** Originals that are due together. told_by: the box that let them go; days: the term here that they are past. */
export interface DueGroup {
  kind: RetainedKind;
  flight: string | null;
  event: string | null;
  originals: number;
  days: number | null;
  told_by: string | null;
  since: string;
  names: string[];
}

/** due.digest confirms that very list; begun: confirmed before, and not let go yet. */
export interface RetentionState {
  terms: RetentionTerm[];
  holds: RetentionHold[];
  due: { digest: string; originals: number; begun: number; groups: DueGroup[] };
}

export interface RetentionConfirmed {
  let_go: number;
  waiting: string[];
}
