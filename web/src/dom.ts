/** One small builder for elements: text always goes through textContent, never through HTML. */

type Child = Node | string | null | undefined | false;
type Handler = (event: Event) => void;
type Props = Record<string, string | number | boolean | Handler | undefined>;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "class") node.className = String(value);
    else if (name === "checked") (node as HTMLInputElement).checked = true;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) node.append(child);
  return node;
}

export function replaceChildren(parent: HTMLElement, ...children: Child[]): void {
  parent.replaceChildren(...children.filter((child): child is Node | string => Boolean(child)));
}

/** As `replace`; what had the focus has it again in its new shape, by which `data-kept` knows it. */
export function replaceKeepingFocus(parent: HTMLElement, ...children: Child[]): void {
  const held = document.activeElement;
  const name = held instanceof HTMLElement && parent.contains(held) ? held.dataset["kept"] : undefined;
  replaceChildren(parent, ...children);
  if (name !== undefined) parent.querySelector<HTMLElement>(`[data-kept="${CSS.escape(name)}"]`)?.focus({ preventScroll: true });
}

/** The choice, or field with choices, inside an element that the reader has in hand, perhaps open; null: none. */
export function findOpenChoice(inside: HTMLElement): HTMLElement | null {
  const held = document.activeElement;
  const isChoice = held instanceof HTMLSelectElement || (held instanceof HTMLInputElement && held.list !== null);
  return isChoice && inside.contains(held) ? held : null;
}

/** Whether a key is meant for a field, or is one of the browser's own with Ctrl, Alt or Meta. */
export function isTypingKey(event: KeyboardEvent): boolean {
  const held = event.target instanceof HTMLElement && event.target.closest("input, select, textarea") !== null;
  return held || event.ctrlKey || event.altKey || event.metaKey;
}

/** Text that is the same already is left alone: an idle page must not be painted again. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Calls `action` now, and at most every `everyMs`; the last call is never lost. */
export function throttle(action: () => void, everyMs: number): () => void {
  let timer = 0;
  let again = false;
  const run = (): void => {
    action();
    timer = window.setTimeout(() => {
      timer = 0;
      if (again) run();
    }, everyMs);
    again = false;
  };
  return () => {
    if (timer) again = true;
    else run();
  };
}

/** Calls `action` once the caller has been quiet for `delayMs`. */
export function debounce<A extends unknown[]>(action: (...args: A) => void, delayMs: number) {
  let timer = 0;
  return (...args: A): void => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => action(...args), delayMs);
  };
}
