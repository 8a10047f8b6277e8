// The official OpenAI client for Node against a server with Whisper base, Kokoro and the beeper (as `tone`, and as `echo`,
// which clones). Prints {"passed": [name…], "failed": {name: what happened}}.
//
// usage: node openai_checks.mjs BASE_URL CLIP TRANSCRIPT

import assert from "node:assert/strict";
import fs from "node:fs";
import OpenAI, { toFile } from "openai";

const [url, clip, transcript] = process.argv.slice(2);
const [STT, TTS, TONE, ECHO] = ["whisper-base", "Kokoro-82M", "tone", "echo"];
const SENTENCE = "Water boils at one hundred degrees.";
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "not empty", maxRetries: 0 });
const { transcriptions, translations, speech, voices } = client.audio;
const sound = () => fs.createReadStream(clip);

function plain(text) {
  return text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
}
const said = plain(transcript);

async function bytes(response) {
  return Buffer.from(await response.arrayBuffer());
}

const checks = {
  async transcripts() {
    const answer = await transcriptions.create({ model: STT, file: sound(), language: "en" });
    assert.equal(plain(answer.text), said);
    assert.equal(answer.usage.type, "duration");
    for (const format of ["text", "srt", "vtt"]) {
      const text = await transcriptions.create({ model: STT, file: sound(), response_format: format });
      assert.equal(typeof text, "string", format);
      assert.ok(plain(text).includes(said), text);
    }
    const ofBytes = await transcriptions.create({ model: TONE, file: await toFile(fs.readFileSync(clip), "x.wav") });
    assert.match(ofBytes.text, /samples/);
  },

  async transcriptsWithTimesAndLogprobs() {
    const verbose = await transcriptions.create({
      model: STT, file: sound(), response_format: "verbose_json", timestamp_granularities: ["word", "segment"],
    });
    assert.equal(verbose.words.length, 9);
    assert.ok(verbose.segments[0].tokens.length > 0 && Math.abs(verbose.duration - 2.889) < 0.02);
    const answer = await transcriptions.create({ model: TONE, file: sound(), include: ["logprobs"] });
    assert.ok(answer.logprobs.length === 2 && answer.logprobs.every((one) => one.logprob === -0.5));
  },

  async everythingThatTheClientCanSend() {
    const answer = await transcriptions.create({
      model: STT, file: sound(), prompt: "The fox.", temperature: 0, keywords: ["fox"], languages: ["en", "de"],
      chunking_strategy: { type: "server_vad", threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 200 },
    });
    assert.equal(plain(answer.text), said);
  },

  async transcriptsAsEvents() {
    let text = "", last;
    for await (const event of await transcriptions.create({ model: STT, file: sound(), stream: true })) {
      if (event.type === "transcript.text.delta") text += event.delta;
      last = event;
    }
    assert.equal(last.type, "transcript.text.done");
    assert.equal(last.text, text);
    assert.equal(plain(text), said);
  },

  async translated() {
    assert.equal(plain((await translations.create({ model: STT, file: sound() })).text), said);
  },

  async speechInEveryFormat() {
    for (const format of ["mp3", "opus", "aac", "flac", "wav", "pcm"]) {
      const response = await speech.create({ model: TONE, voice: "alloy", input: "hello", response_format: format });
      assert.ok((await bytes(response)).length > 100, format);
      assert.ok(Number(response.headers.get("x-sample-rate")) > 0, format);
    }
    const wav = await bytes(await speech.create({ model: TTS, voice: "nova", input: SENTENCE, response_format: "wav" }));
    const heard = await transcriptions.create({ model: STT, file: await toFile(wav, "said.wav"), language: "en" });
    assert.match(plain(heard.text), /water boils/);
  },

  async speechIsStreamed() {
    const started = performance.now();
    const body = { model: TONE, voice: "alloy", input: "x".repeat(30), response_format: "pcm", stream: true, fail: "slow", pause_ms: 60 };
    const response = await speech.create(body);
    let first, size = 0;
    for await (const chunk of response.body) {
      first ??= performance.now() - started;
      size += chunk.length;
    }
    assert.equal(size, (30 * 2 * 24_000) / 20);
    assert.ok(first < 0.5 * (performance.now() - started));
  },

  async speechAsEvents() {
    const response = await speech.create({ model: TONE, voice: "alloy", input: "hello", response_format: "pcm", stream_format: "sse" });
    const events = (await response.text()).split("\n").filter((line) => line.startsWith("data: {")).map((line) => JSON.parse(line.slice(6)));
    assert.equal(events.at(-1).type, "speech.audio.done");
    assert.ok(events.slice(0, -1).every((event) => event.type === "speech.audio.delta"));
  },

  async voicesAreKept() {
    const voice = await voices.create({ name: "Eve", audio_sample: sound(), consent: "I agree." });
    assert.equal(voice.object, "audio.voice");
    const response = await speech.create({ model: ECHO, voice: { id: voice.id }, input: "hello", response_format: "wav" });
    assert.ok((await bytes(response)).length > 100);
    assert.equal((await voices.delete(voice.id)).deleted, true);
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.ok([STT, TTS, TONE, ECHO].every((id) => ids.includes(id)), ids.join());
    assert.equal((await client.models.retrieve(STT)).object, "model");
    await client.post("/models", { body: { model_name: "tone", model_type: "audio", model_uid: "brief-node" } });
    assert.equal((await client.models.delete("brief-node")).deleted, true);
    await assert.rejects(client.models.retrieve("brief-node"), OpenAI.NotFoundError);
  },

  async errors() {
    const unknown = await speech.create({ model: "nobody", voice: "alloy", input: "x" }).catch((error) => error);
    assert.ok(unknown instanceof OpenAI.NotFoundError);
    assert.equal(unknown.code, "model_not_found");
    const voice = await speech.create({ model: TTS, voice: "nobody", input: "x" }).catch((error) => error);
    assert.ok(voice instanceof OpenAI.BadRequestError);
    assert.deepEqual([voice.param, voice.type], ["voice", "invalid_request_error"]);
    assert.match(voice.message, /af_heart/);
    assert.ok(voice.requestID);
    const events = await transcriptions.create({ model: TONE, file: sound(), stream: true, fail: "error_late" });
    await assert.rejects(async () => { for await (const _ of events); }, OpenAI.APIError);
  },
};

const report = { passed: [], failed: {} };
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    report.passed.push(name);
  } catch (error) {
    report.failed[name] = String(error?.stack ?? error);
  }
}
console.log(JSON.stringify(report));
