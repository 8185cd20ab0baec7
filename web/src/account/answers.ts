/** What the server says of accounts, their tokens, and codes that let in once. */

export type TokenScope = "all" | "map" | "uploads" | "sync";

/** A token as it is listed: what opens the door is not told again. label "": the one that came with the account. */
export interface HeldToken {
  token_id: string;
  account: string;
  label: string;
  scope: TokenScope;
  made_by: string;
  made: string;
  expires: string | null;
  used: string | null;
  /** The one that this page came in by. */
  is_mine_now: boolean;
  /** By which its maker came; null: by none, or not known. */
  made_with: string | null;
  /** Ids of what was made with it, and in turn with that: revoking it ends these too. */
  ends_with_it: { tokens: string[]; guests: string[] };
}

export interface NewToken extends HeldToken {
  token: string;
}

export interface TokenAsked {
  label: string;
  scope: TokenScope;
  /** Null: it never expires. */
  days: number | null;
  account: string;
}

export interface CodeMade {
  account: string;
  code: string;
  seconds: number;
}

export interface AccountSaid {
  name: string;
  role: string;
  communes: string[];
}

/** The first administrator, and the token that is told this once. */
export interface FirstMade {
  account: { name: string; role: string };
  token: string;
}
