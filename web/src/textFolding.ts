/** Spelling of names and words. */

const MARKS = /[\u0300-\u036f]/g;

/** As it stands within a sentence: "Trạm BTS" keeps its letters. */
export function toSentenceCase(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** As names are typed in a hurry: without accents, in small letters. */
export function foldAccents(text: string): string {
  return text.normalize("NFD").replace(MARKS, "").replace(/[đĐ]/g, "d").toLowerCase().trim().replace(/\s+/g, " ");
}
