/** What the server says of guest links and of restricted areas. */

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
