/** What the server says of uploads, and requests that are made again until they are answered. */

export interface BilingualSentence {
  sentence: string;
  sentence_vi: string;
}

export interface UploadStatus {
  upload_id: string;
  label: string;
  name: string | null;
  began: string;
  expires: string | null; // null: never
  stage: "receiving" | "keeping" | "laying" | "laid" | "failed";
  files: number;
  photos: number;
  heads: number; // of photos
  received: number;
  stored: number;
  bytes: number;
  bytes_received: number;
  bytes_stored: number;
  saved: boolean;
  looked: boolean;
  progress: { stage: string; done: number; total: number } | null;
  laid: UploadResult | null;
  waits_for: BilingualSentence | null;
  passed_over: number; // files that are on the card alone, of the first of them why
  passed_over_said: BilingualSentence[];
}

export interface VideoResult extends BilingualSentence {
  name: string;
  frames: number;
}

/** A film with the log that will probably place it, or the sentence that it has none. */
export interface VideoPreview extends BilingualSentence {
  name: string;
  log: string | null;
}

/** What came of the photos, and then of each film; photos: why none of them is on the map, if so. */
export interface UploadResult extends Partial<BilingualSentence> {
  error?: string;
  flight_id?: string;
  event_id?: string;
  /** What that is called; absent where nothing was laid, as the notes. */
  event?: string;
  notes?: string[];
  notes_vi?: string[];
  name?: string;
  frames?: { read: number; used: number };
  films?: VideoResult[];
  photos?: BilingualSentence;
  /** What was found in whole photos; absent where none was laid. */
  doctor?: PreviewFinding[];
  rejections?: BilingualSentence[];
}

export interface PreviewFinding extends BilingualSentence {
  code: string;
  severity: string;
}

export interface UploadFile {
  number: number;
  path: string;
  size: number;
  offset: number;
}

export interface OpenedUpload extends UploadStatus {
  parts: UploadFile[];
}

export interface UploadPreview extends Partial<BilingualSentence> {
  error?: string;
  /** It is made once more when the flight logs are here. */
  awaits_logs?: boolean;
  films: VideoPreview[];
  frames: number;
  usable: number;
  problems: PreviewFinding[];
  rejections: BilingualSentence[];
  gaps: (BilingualSentence & { polygon: { type: string; coordinates: number[][][] } })[];
  photos: { name: string; outline: [number, number][]; gsd_m: number; smear_px: number | null }[];
  smeared: number;
  smear_known: number;
  worst_smear_px: number | null;
}

/** The server will not take it, however often it is asked. */
export class RequestRefused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Nobody waits for the answer any more. */
export class RequestAborted extends Error {}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const LATER = new Set([408, 423, 425, 429, 500, 502, 503, 504, 507]);
const PATIENCE_MS = 180_000; // a small piece over the thinnest line; a line that is cut is noticed sooner

export const pause = (ms: number): Promise<void> => new Promise((done) => window.setTimeout(done, ms));

export class UploadClient {
  /** Called with the reason while nothing gets through, and with null when it does again. */
  onWait: (why: string | null) => void = () => undefined;
  /** Called when a sign-in is needed; resolves when it is done. */
  signIn: () => Promise<void> = () => Promise.reject(new RequestRefused(401, ""));
  private static signedInMs = -1; // one sign-in serves all that were on their way

  /** until: ends what is asked here, also what is on its way */
  constructor(private readonly until: AbortSignal | null = null) {}

  /** One request; null if the line is down or the server says "later". Throws Refused; Ended once it is over. */
  async once(path: string, init: RequestInit = {}): Promise<Response | null> {
    this.check();
    const stop = new AbortController();
    const end = (): void => stop.abort();
    const timer = window.setTimeout(end, PATIENCE_MS);
    this.until?.addEventListener("abort", end);
    const beganMs = performance.now();
    try {
      const language = document.documentElement.lang;
      const headers = { "Tus-Resumable": "1.0.0", ...init.headers };
      const answer = await fetch(`${path}?lang=${language}`, { ...init, headers, signal: stop.signal });
      this.check();
      if (answer.status === 401) {
        if (beganMs >= UploadClient.signedInMs) await this.signIn(); // else it went with what was valid before
        UploadClient.signedInMs = performance.now();
        return null;
      }
      if (LATER.has(answer.status)) {
        this.onWait(answer.status === 423 ? null : await messageOf(answer));
        return null;
      }
      this.onWait(null);
      if (answer.ok || answer.status === 409 || answer.status === 460) return answer;
      throw new RequestRefused(answer.status, await messageOf(answer));
    } catch (error) {
      this.check();
      if (error instanceof RequestRefused) throw error;
      this.onWait("");
      return null;
    } finally {
      window.clearTimeout(timer);
      this.until?.removeEventListener("abort", end);
    }
  }

  private check(): void {
    if (this.until?.aborted) throw new RequestAborted();
  }

  /** The same until it is answered. */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      const answer = await this.once(path, init);
      if (answer) return answer;
      await online(waitMs);
    }
  }

  async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    for (;;) {
      const text = await this.ask(path, init).then((answer) => answer.text().catch(() => null));
      if (text !== null) return JSON.parse(text) as T;
    }
  }
}

/** Wait, but not longer than until the machine has a network again. */
function online(ms: number): Promise<void> {
  return new Promise((done) => {
    const go = (): void => {
      window.removeEventListener("online", go);
      window.clearTimeout(timer);
      done();
    };
    const timer = window.setTimeout(go, ms);
    window.addEventListener("online", go);
  });
}

async function messageOf(answer: Response): Promise<string> {
  const said = (await answer.json().catch(() => null)) as { message?: string } | null;
  return said?.message ?? `HTTP ${answer.status}`;
}
