// The loop around an exported network, as export/artifact/solver.py and host_state.py have it:
//
//   one H-cycle:   z_L <- block_L(z_L, z_H + e), L_cycles times;   z_H <- block_H(z_H, z_L)
//
// The host embeds the puzzle and keeps the states in float32; the graphs are ONNX files of one
// puzzle a call. The folder is an export of `python -m export.onnx`.

// ONNX Runtime rounds the inputs of weight-only products to int8 unless it is told not to.
const SESSION = { executionProviders: ["wasm"], extra: { session: { qdq_matmulnbits_accuracy_level: "1" } } };

/** Load an export. `ort` is the runtime's module, `folder` the address of the export. */
export async function loadReasoner(ort, folder) {
  const manifest = await (await fetchFile(`${folder}/manifest.json`)).json();
  const host = readSafetensors(await (await fetchFile(`${folder}/host.safetensors`)).arrayBuffer());
  const sessions = {};
  for (const name of Object.keys(manifest.operators)) {
    const content = await (await fetchFile(`${folder}/${name}.onnx`)).arrayBuffer();
    sessions[name] = await ort.InferenceSession.create(new Uint8Array(content), SESSION);
  }
  return new Reasoner(ort, manifest, host, sessions);
}

/** Fetch a file that belongs to this page; a newer page's is not mixed with a kept one. */
export async function fetchFile(address) {
  const answer = await fetch(address, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${address} cannot be loaded: ${answer.status} ${answer.statusText}`);
  return answer;
}

/** Read a file of tensors: 8 bytes of length, a header of JSON, then the numbers. */
export function readSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const bytes = buffer.slice(8 + length + start, 8 + length + end);
    tensors[name] = { shape, data: dtype === "F16" ? halves(bytes) : new Float32Array(bytes) };
  }
  return tensors;
}

function halves(bytes) {
  return Float32Array.from(new Uint16Array(bytes), (bits) => {
    const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

class Reasoner {
  constructor(ort, manifest, host, sessions) {
    Object.assign(this, { ort, manifest, host, sessions, config: manifest.config });
    [this.blockL, this.blockH] = "block" in sessions ? ["block", "block"] : ["block_L", "block_H"];
    const { seq_len: cells, hidden_size: width, puzzle_emb_ndim: row, puzzle_emb_len: given } = this.config;
    this.prefix = given || Math.ceil(row / width);
    this.shape = [1, this.prefix + cells, width];
  }

  /** Begin with a puzzle: an array of tokens. */
  start(puzzle) {
    this.e = this.embed(puzzle);
    this.z_H = this.spread(this.host.H_init.data);
    this.z_L = this.spread(this.host.L_init.data);
  }

  spread(vector) {
    const width = this.shape[2];
    return Float32Array.from({ length: this.shape[1] * width }, (_, i) => vector[i % width]);
  }

  /** Puzzle row and token rows, scaled as in training; every operation rounds to float32. */
  embed(puzzle) {
    const [, positions, width] = this.shape, { puzzle_emb, embed_tokens, embed_pos } = this.host;
    const e = new Float32Array(positions * width), root = Math.fround(Math.sqrt(width));
    e.set(puzzle_emb.data.subarray(0, puzzle_emb.shape[1]));
    puzzle.forEach((token, i) => {
      e.set(embed_tokens.data.subarray(token * width, (token + 1) * width), (this.prefix + i) * width);
    });
    if (embed_pos) {
      const half = Math.fround(Math.sqrt(0.5));
      embed_pos.data.forEach((value, i) => (e[i] = half * Math.fround(e[i] + value)));
    }
    return e.map((value) => root * value);
  }

  /** One supervision step: {tokens, q_halt}. */
  async step() {
    const { H_cycles, L_cycles } = this.config;
    for (let cycle = 0; cycle < H_cycles; cycle++) {
      const injection = this.z_H.map((value, i) => value + this.e[i]);
      for (let i = 0; i < L_cycles; i++) this.z_L = await this.update(this.blockL, this.z_L, injection);
      this.z_H = await this.update(this.blockH, this.z_H, this.z_L);
    }
    const { logits, q } = await this.sessions.head.run({ z_H: this.tensor(this.z_H) });
    return { tokens: likeliest(logits.data, this.config.vocab_size), q_halt: q.data[0] };
  }

  async update(name, z, injection) {
    const session = this.sessions[name];
    const out = await session.run({ z: this.tensor(z), injection: this.tensor(injection) });
    return out[session.outputNames[0]].data;
  }

  tensor(values) {
    return new this.ort.Tensor("float32", values, this.shape);
  }
}

function likeliest(logits, vocabulary) {
  return Uint8Array.from({ length: logits.length / vocabulary }, (_, i) => {
    const row = logits.subarray(i * vocabulary, (i + 1) * vocabulary);
    return row.indexOf(Math.max(...row));
  });
}
