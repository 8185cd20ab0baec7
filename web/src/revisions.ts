/** What a revision of a flight is called. Revision 0 is the flight as it came: live only where that was from the air. */

import type { FlightInfo } from "./api";
import { t } from "./i18n";

/** `flight` undefined: one that is not on this map. */
export function formatRevision(flight: Pick<FlightInfo, "is_streamed"> | undefined, revision: number): string {
  if (revision > 0) return t("revisionNumber", revision);
  return t(flight?.is_streamed ? "revisionLive" : "revisionQuick");
}
