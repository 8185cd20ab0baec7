import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { RequestAborted, RequestRefused, UploadClient } from "./client";

const fetching = vi.fn<typeof fetch>();
const answer = (status: number, body: unknown = {}): Response => new Response(status === 204 ? null : JSON.stringify(body), { status });

function makeClient(until: AbortSignal | null = null): { client: UploadClient; heard: (string | null)[] } {
  const client = new UploadClient(until);
  const heard: (string | null)[] = [];
  client.onWait = (why) => void heard.push(why);
  return { client, heard };
}

beforeEach(() => {
  vi.stubGlobal("fetch", fetching);
  fetching.mockReset();
});
afterEach(() => void vi.useRealTimers());

describe("one request", () => {
  test.each([200, 201, 204, 409, 460])("that is answered with %i is answered", async (status) => {
    const { client, heard } = makeClient();
    fetching.mockResolvedValueOnce(answer(status));
    expect((await client.once("/api/uploads"))?.status).toBe(status);
    expect(heard).toEqual([null]);
  });

  test("that nobody answers is for later, and one that waits for another of its own (423) is no trouble", async () => {
    const { client, heard } = makeClient();
    fetching.mockRejectedValueOnce(new TypeError("Failed to fetch")).mockResolvedValueOnce(answer(423));
    expect([await client.once("/a"), await client.once("/a"), heard]).toEqual([null, null, ["", null]]);
  });

  test.each([408, 425, 429, 500, 502, 503, 504, 507])("that is answered with %i is for later, and why is told", async (status) => {
    const { client, heard } = makeClient();
    fetching.mockResolvedValueOnce(answer(status, { message: "đầy" })).mockResolvedValueOnce(new Response("<html>", { status }));
    expect([await client.once("/a"), await client.once("/a")]).toEqual([null, null]);
    expect(heard).toEqual(["đầy", `HTTP ${status}`]);
  });

  test.each([400, 403, 404, 413])("that is refused with %i is not made again", async (status) => {
    fetching.mockImplementation(() => Promise.resolve(answer(status, { message: "không" })));
    await expect(makeClient().client.ask("/a")).rejects.toEqual(Object.assign(new RequestRefused(status, "không"), { status }));
    expect(fetching).toHaveBeenCalledTimes(1);
  });

  test("that was ended is heard of no more", async () => {
    const run = new AbortController();
    const { client, heard } = makeClient(run.signal);
    fetching.mockImplementationOnce((_, init) => new Promise((_, no) => init?.signal?.addEventListener("abort", () => no(new DOMException("", "AbortError")))));
    const asked = client.once("/a");
    run.abort();
    await expect(asked).rejects.toBeInstanceOf(RequestAborted);
    await expect(client.once("/a")).rejects.toBeInstanceOf(RequestAborted);
    expect([heard, fetching.mock.calls.length]).toEqual([[], 1]);
  });
});

test("one sign-in serves all requests that were on their way", async () => {
  const { client } = makeClient();
  const signIn = vi.fn(() => Promise.resolve());
  client.signIn = signIn;
  let refuse = (): void => undefined;
  fetching.mockImplementationOnce(() => new Promise((done) => (refuse = () => done(answer(401)))));
  const slow = client.once("/slow");
  await new Promise((done) => setTimeout(done, 5));
  fetching.mockResolvedValueOnce(answer(401)).mockResolvedValueOnce(answer(200, [1]));
  expect(await client.json("/quick")).toEqual([1]);
  refuse();
  expect(await slow).toBeNull();
  expect(signIn).toHaveBeenCalledTimes(1);
});

describe("until it is answered", () => {
  test("it waits ever longer, up to ten seconds", async () => {
    vi.useFakeTimers();
    const atMs: number[] = [];
    fetching.mockImplementation(() => (atMs.push(performance.now()), Promise.resolve(answer(atMs.length < 9 ? 503 : 204))));
    const asked = makeClient().client.ask("/a");
    await vi.advanceTimersByTimeAsync(60_000);
    expect((await asked).status).toBe(204);
    expect(atMs.slice(1).map((ms, n) => Math.round(ms - (atMs[n] ?? 0)))).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  });

  test("but no longer than until the machine has a network again", async () => {
    fetching.mockRejectedValueOnce(new TypeError()).mockRejectedValueOnce(new TypeError()).mockResolvedValueOnce(answer(204));
    vi.useFakeTimers();
    const asked = makeClient().client.ask("/a");
    for (const calls of [2, 3]) {
      await vi.advanceTimersByTimeAsync(1);
      window.dispatchEvent(new Event("online"));
      await vi.advanceTimersByTimeAsync(1);
      expect(fetching).toHaveBeenCalledTimes(calls);
    }
    expect((await asked).status).toBe(204);
  });

  test("an answer that was cut is asked for again", async () => {
    const cut = new Response(new ReadableStream({ start: (stream) => stream.error(new TypeError("network error")) }));
    fetching.mockResolvedValueOnce(cut).mockResolvedValueOnce(answer(200, { there: true }));
    expect(await makeClient().client.json("/a")).toEqual({ there: true });
  });
});
