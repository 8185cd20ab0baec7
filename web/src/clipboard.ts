/** Text into the clipboard, as other programs take it: coordinates with dots, whatever the page's language. */

import type { Vn2000 } from "./api";
import { el } from "./dom";
import { t } from "./i18n";
import { formatDegrees } from "./numbers";

const SAID_MS = 2000;

/** "22.123456, 104.800271": latitude, longitude, as map programs and forms read it. */
export function formatPlainLonLat(lon: number, lat: number): string {
  return `${lat.toFixed(6)}, ${lon.toFixed(6)}`;
}

/** "X 2447123.45 Y 505432.10 VN-2000 KTT 104°45′": X north, Y east, metres. */
export function formatPlainVn2000(place: Vn2000): string {
  const meridian = formatDegrees(place.central_meridian_deg);
  return `X ${place.x_north_m.toFixed(2)} Y ${place.y_east_m.toFixed(2)} ${t("vn2000", meridian)}`;
}

/** A button that says what it copied; `text` is asked for when it is pressed. Its words are drawn by the style sheet, beside text that is read. */
export function copyButton(what: string, text: () => string): HTMLButtonElement {
  const press = (event: Event): void => {
    event.stopPropagation();
    void copied(text()).then((done) => {
      button.dataset["said"] = t(done ? "copied" : "copyFailed");
      window.setTimeout(() => delete button.dataset["said"], SAID_MS);
    });
  };
  const button = el("button", { type: "button", class: "copy", title: what, "aria-label": what, click: press });
  return button;
}

/** Where the browser lets no page at its clipboard (no TLS), by way of a field that is gone at once. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el("textarea", { readonly: true, class: "copy-field" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
