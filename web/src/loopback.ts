/** Addresses that are handed to other screens. */

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Whether an address of this page leads to it from this machine alone. */
export function isLoopbackUrl(): boolean {
  return LOOPBACK.test(window.location.hostname);
}
