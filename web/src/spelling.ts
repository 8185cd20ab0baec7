/** Names as they are typed in a hurry: without accents, in small letters. */

const MARKS = /[\u0300-\u036f]/g;

export function plain(text: string): string {
  return text.normalize("NFD").replace(MARKS, "").replace(/[đĐ]/g, "d").toLowerCase().trim();
}
