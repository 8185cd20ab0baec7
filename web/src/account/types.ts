/** What the server says of accounts, their tokens, and codes that let in once. */

export type TokenScope = "all" | "map" | "uploads" | "sync";

/** A token as it is listed: what opens the door is not told again. label "": the one that came with the account. */
export interface TokenInfo {
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

export interface NewToken extends TokenInfo {
  token: string;
}

export interface TokenRequest {
  label: string;
  scope: TokenScope;
  /** Null: it never expires. */
  days: number | null;
  account: string;
}

export interface SignInCode {
  account: string;
  code: string;
  seconds: number;
}

export interface AccountInfo {
  name: string;
  role: string;
  communes: string[];
}

/** The first administrator, and the token that is told this once. */
export interface SetupResult {
  account: { name: string; role: string };
  token: string;
}
