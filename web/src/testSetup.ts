/** What of a browser the functions under test read: language, address, what it keeps, and word that the network is back. */

import { beforeEach, vi } from "vitest";
import { setLanguage } from "./i18n";
import { setTimeZone } from "./time";

const kept = new Map<string, string>();
const events = new EventTarget();
const address = { hash: "", hostname: "map.example" };

vi.stubGlobal("window", globalThis);
vi.stubGlobal("document", { documentElement: { lang: "vi" }, title: "" });
vi.stubGlobal("location", address);
vi.stubGlobal("history", { replaceState: (_state: unknown, _title: string, hash: string) => (address.hash = hash) });
vi.stubGlobal("localStorage", { getItem: (name: string) => kept.get(name) ?? null, setItem: (name: string, value: string) => void kept.set(name, value) });
for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"] as const) vi.stubGlobal(name, events[name].bind(events));

beforeEach(() => {
  kept.clear();
  address.hash = "";
  setLanguage("vi");
  setTimeZone("Asia/Ho_Chi_Minh");
});
