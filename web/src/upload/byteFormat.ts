/** Bytes as people count them. */

import { formatNumber } from "../numbers";

export function formatBytes(bytes: number): string {
  return bytes < 1e9 ? `${formatNumber(bytes / 1e6, 1)}\u00a0MB` : `${formatNumber(bytes / 1e9, 2)}\u00a0GB`;
}
