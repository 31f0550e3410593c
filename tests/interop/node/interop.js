// gRPC's test service and its published cases with grpc-js, which has no interop program of its own in its package.
//
//   node interop.js PROTO server [CERT KEY [CA]]            says where it listens, and serves until it is killed
//   node interop.js PROTO client ADDRESS [CA [CERT KEY]]    says of each case what became of it
//
// With a CA a server wants a certificate of it from each caller; with CERT and KEY a client has one to show.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const { status } = grpc;
const [proto, role, ...rest] = process.argv.slice(2);
const definition = loader.loadSync(proto, { keepCase: true, defaults: true });
const { TestService, UnimplementedService } = grpc.loadPackageDefinition(definition).grpc.testing;

const INITIAL = "x-grpc-test-echo-initial";
const TRAILING = "x-grpc-test-echo-trailing-bin";
const WANTED = "x-details-bin";
const DETAILS = "grpc-status-details-bin";
const LARGE = 3 << 20;

const payload = (size) => ({ body: Buffer.alloc(size) });

// ---------------------------------------------------------------- server

function echoed(call) {
  const headers = new grpc.Metadata();
  const trailers = new grpc.Metadata();
  for (const value of call.metadata.get(INITIAL)) headers.add(INITIAL, value);
  for (const value of call.metadata.get(TRAILING)) trailers.add(TRAILING, value);
  for (const value of call.metadata.get(WANTED)) trailers.add(DETAILS, value);
  if (call.metadata.get(INITIAL).length) call.sendMetadata(headers);
  return trailers;
}

const failed = ({ code, message }, metadata) => ({ code, details: message, metadata });

function unary(call, answer) {
  const trailers = echoed(call);
  const asked = call.request;
  if (asked.response_status?.code) answer(failed(asked.response_status, trailers));
  else answer(null, { payload: payload(asked.response_size) }, trailers);
}

async function answers(call, asked) {
  for (const { size, interval_us } of asked.response_parameters) {
    if (interval_us) await new Promise((resolve) => setTimeout(resolve, interval_us / 1000));
    if (!call.write({ payload: payload(size) })) await once(call, "drain");
  }
}

async function output(call) {
  const trailers = echoed(call);
  await answers(call, call.request);
  call.end(trailers);
}

function input(call, answer) {
  let aggregated_payload_size = 0;
  call.on("data", (asked) => (aggregated_payload_size += asked.payload.body.length));
  call.on("end", () => answer(null, { aggregated_payload_size }));
}

async function both(call) {
  call.on("cancelled", () => console.log("cancelled"));
  const trailers = echoed(call);
  for await (const asked of call.iterator({ destroyOnReturn: false })) { // what has been read must not end what is written
    if (asked.response_status?.code) {
      call.emit("error", failed(asked.response_status, trailers));
      return;
    }
    await answers(call, asked);
  }
  call.end(trailers);
}

const handlers = {
  EmptyCall: (_, answer) => answer(null, {}),
  UnaryCall: unary,
  CacheableUnaryCall: unary,
  StreamingOutputCall: output,
  StreamingInputCall: input,
  FullDuplexCall: (call) => both(call).catch((error) => console.error(error)),
};

const read = (file) => (file ? readFileSync(file) : null);

function serve([cert, key, ca]) {
  const { UnimplementedCall: _, ...known } = TestService.service;
  const server = new grpc.Server();
  server.addService(known, handlers);
  const pair = cert && { cert_chain: readFileSync(cert), private_key: readFileSync(key) };
  const secured = () => grpc.ServerCredentials.createSsl(read(ca), [pair], Boolean(ca));
  const credentials = pair ? secured() : grpc.ServerCredentials.createInsecure();
  server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
    if (error) throw error;
    console.log("listening on", port);
  });
}

// ---------------------------------------------------------------- client

const within = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

// A unary call as a promise of everything that comes back.
function ask(client, method, request, metadata = new grpc.Metadata(), options = {}) {
  return new Promise((resolve, reject) => {
    let headers, answer;
    const call = client[method](request, metadata, { ...within(30), ...options }, (error, value) => {
      if (error) reject(error);
      answer = value;
    });
    call.on("metadata", (value) => (headers = value));
    call.on("status", ({ metadata: trailers }) => resolve({ answer, headers, trailers }));
  });
}

const fails = (promise, code, details) =>
  assert.rejects(promise, (error) => {
    assert.equal(error.code, code, error.message);
    if (details !== undefined) assert.equal(error.details, details);
    return true;
  });

async function sizes(call) {
  const found = [];
  for await (const { payload } of call) found.push(payload.body.length);
  return found;
}

const echo = () => {
  const metadata = new grpc.Metadata();
  metadata.add(INITIAL, "test_initial_metadata_value");
  metadata.add(TRAILING, Buffer.from("0a0b0a0b0a0b", "hex"));
  return metadata;
};

function sameEcho(headers, trailers) {
  assert.deepEqual(headers.get(INITIAL), echo().get(INITIAL));
  assert.deepEqual(trailers.get(TRAILING), echo().get(TRAILING));
}

const SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
const REQUESTS = [27182, 8, 1828, 45904];
const RESPONSES = [31415, 9, 2653, 58979];
const asking = (...wanted) => ({ response_parameters: wanted.map((size) => ({ size })) });

const cases = {
  async empty_unary(client) {
    assert.deepEqual((await ask(client, "EmptyCall", {})).answer, {});
  },
  async large_unary(client) {
    const { answer } = await ask(client, "UnaryCall", { response_size: 314159, payload: payload(271828) });
    assert.equal(answer.payload.body.length, 314159);
  },
  async client_streaming(client) {
    const answer = await new Promise((resolve, reject) => {
      const call = client.StreamingInputCall(within(30), (error, value) => (error ? reject(error) : resolve(value)));
      for (const size of REQUESTS) call.write({ payload: payload(size) });
      call.end();
    });
    assert.equal(answer.aggregated_payload_size, 74922);
  },
  async server_streaming(client) {
    assert.deepEqual(await sizes(client.StreamingOutputCall(asking(...RESPONSES), within(30))), RESPONSES);
  },
  async ping_pong(client) {
    const call = client.FullDuplexCall(within(30));
    const answers = call[Symbol.asyncIterator]();
    for (const [i, size] of REQUESTS.entries()) {
      call.write({ ...asking(RESPONSES[i]), payload: payload(size) });
      assert.equal((await answers.next()).value.payload.body.length, RESPONSES[i]);
    }
    call.end();
    assert.equal((await answers.next()).done, true);
  },
  async empty_stream(client) {
    const call = client.FullDuplexCall(within(30));
    call.end();
    assert.deepEqual(await sizes(call), []);
  },
  async custom_metadata(client) {
    const { headers, trailers } = await ask(client, "UnaryCall", { response_size: 1, payload: payload(1) }, echo());
    sameEcho(headers, trailers);
    const call = client.FullDuplexCall(echo(), within(30));
    const first = once(call, "metadata");
    const last = once(call, "status");
    call.write({ ...asking(1), payload: payload(1) });
    call.end();
    assert.deepEqual(await sizes(call), [1]);
    sameEcho((await first)[0], (await last)[0].metadata);
  },
  async status_code_and_message(client) {
    const response_status = { code: 2, message: "test status message" };
    await fails(ask(client, "UnaryCall", { response_status }), 2, response_status.message);
    const call = client.FullDuplexCall(within(30));
    call.write({ response_status });
    call.end();
    await fails(sizes(call), 2, response_status.message);
  },
  async special_status_message(client) {
    await fails(ask(client, "UnaryCall", { response_status: { code: 2, message: SPECIAL } }), 2, SPECIAL);
  },
  async unimplemented_method(client) {
    await fails(ask(client, "UnimplementedCall", {}), status.UNIMPLEMENTED);
  },
  async unimplemented_service(_, other) {
    await fails(ask(other, "UnimplementedCall", {}), status.UNIMPLEMENTED);
  },
  async cancel_after_begin(client) {
    const ended = new Promise((resolve, reject) => {
      const call = client.StreamingInputCall(within(30), (error, value) => (error ? reject(error) : resolve(value)));
      setImmediate(() => call.cancel());
    });
    await fails(ended, status.CANCELLED);
  },
  async cancel_after_first_response(client) {
    const call = client.FullDuplexCall(within(30));
    call.write({ ...asking(31415), payload: payload(27182) });
    const answers = call[Symbol.asyncIterator]();
    assert.equal((await answers.next()).value.payload.body.length, 31415);
    call.cancel();
    await fails(answers.next(), status.CANCELLED);
  },
  async timeout_on_sleeping_server(client) {
    const call = client.FullDuplexCall(within(0.001));
    call.write({ payload: payload(27182) });
    await fails(sizes(call), status.DEADLINE_EXCEEDED);
  },
  async fanmesh_deadline(client) {
    const asked = { response_parameters: [{ size: 1, interval_us: 30_000_000 }] };
    await fails(sizes(client.StreamingOutputCall(asked, within(0.3))), status.DEADLINE_EXCEEDED);
  },
  async fanmesh_large(client) {
    const { answer } = await ask(client, "UnaryCall", { response_size: LARGE, payload: payload(LARGE) });
    assert.equal(answer.payload.body.length, LARGE);
    const call = client.FullDuplexCall(within(30));
    for (let i = 0; i < 3; i++) call.write({ ...asking(LARGE, 1), payload: payload(LARGE) });
    call.end();
    assert.deepEqual(await sizes(call), [LARGE, 1, LARGE, 1, LARGE, 1]);
  },
  async fanmesh_gzip(_, __, compressing) {
    const { answer } = await ask(compressing, "UnaryCall", { response_size: LARGE, payload: payload(LARGE) });
    assert.equal(answer.payload.body.length, LARGE);
  },
  async fanmesh_binary_metadata(client) {
    for (const hex of ["00", "00ff", "fffefd", "00010203fcfdfeff"]) {
      const metadata = new grpc.Metadata();
      metadata.add(TRAILING, Buffer.from(hex, "hex"));
      const { trailers } = await ask(client, "UnaryCall", {}, metadata);
      assert.equal(trailers.get(TRAILING)[0].toString("hex"), hex);
    }
  },
  async fanmesh_odd_messages(client) {
    for (const message of ["100% %41 %", " between spaces ", "+", "x".repeat(1000)]) {
      await fails(ask(client, "UnaryCall", { response_status: { code: 9, message } }), 9, message);
    }
  },
  async fanmesh_rich_status(client) {
    const details = Buffer.from("0809120363c3b6", "hex"); // google.rpc.Status: code 9, message "cö"
    const metadata = new grpc.Metadata();
    metadata.add(WANTED, details);
    await assert.rejects(ask(client, "UnaryCall", { response_status: { code: 9, message: "cö" } }, metadata), (error) => {
      assert.deepEqual([error.code, error.details, error.metadata.get(DETAILS)], [9, "cö", [details]]);
      return true;
    });
  },
};

async function call(address, ca, cert, key) {
  const credentials = ca ? grpc.credentials.createSsl(read(ca), read(key), read(cert)) : grpc.credentials.createInsecure();
  const client = new TestService(address, credentials);
  const other = new UnimplementedService(address, credentials);
  const gzip = { "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip };
  const compressing = new TestService(address, credentials, gzip);
  for (const [name, run] of Object.entries(cases)) {
    try {
      await run(client, other, compressing);
      console.log(`${name}: ok`);
    } catch (error) {
      console.log(`${name}: ${String(error.message ?? error).replaceAll("\n", " ")}`);
    }
  }
  for (const one of [client, other, compressing]) one.close();
}

if (role === "server") serve(rest);
else await call(...rest);
