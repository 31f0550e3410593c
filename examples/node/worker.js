// A worker in Node: one unary method, and the standard health service.
//
//   node worker.js [HOST:PORT]
//
// A branch that is named in `busy` refuses its first attempt, one in `slow` takes a minute: see examples/README.md.
import grpc from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { setTimeout as wait } from "node:timers/promises";
import { WorkerService } from "./protos.js";

// An error as gRPC wants it: a code, a text, and trailers.
function failure(code, details, trailers = {}) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(trailers)) metadata.set(key, value);
  return Object.assign(new Error(details), { code, details, metadata });
}

async function greet({ branch, attempt, input }, deadline, signal) {
  if (input?.body !== "json") {
    throw failure(grpc.status.INVALID_ARGUMENT, "input: JSON is expected"); // which a dispatcher sends
  }
  const { name = "you", busy = [], slow = [] } = JSON.parse(input.json) ?? {};
  if (busy.includes(branch) && attempt === 0) {
    // It may be tried again, but not before 20 ms have passed. RESOURCE_EXHAUSTED without this trailer would be final.
    throw failure(grpc.status.RESOURCE_EXHAUSTED, "busy", { "grpc-retry-pushback-ms": "20" });
  }
  const left = Math.max(0, Math.round(deadline - Date.now()));
  if (slow.includes(branch)) {
    console.log("this will take a minute");
    await wait(60_000, null, { signal }); // stands for the work; fetch() and many others take such a signal
  }
  return { output: { json: JSON.stringify({ hello: `Hello ${name}, from Node`, left_ms: left }) }, confidence: 0.9 };
}

// gRPC calls back; the work is a promise, with a signal that says when nobody waits for it any more.
function answer(call, callback) {
  const work = new AbortController();
  call.on("cancelled", () => work.abort()); // the caller went away, or the deadline passed, or the call is simply over
  greet(call.request, call.getDeadline(), work.signal).then(
    (reply) => callback(null, reply),
    (error) => {
      if (work.signal.aborted) console.log("cancelled: nobody waits any more");
      callback(error.code in grpc.status ? error : failure(grpc.status.INTERNAL, error.message));
    },
  );
}

const server = new grpc.Server();
server.addService(WorkerService.service, { Process: answer });
new HealthImplementation({ "": "SERVING" }).addToServer(server);
server.bindAsync(process.argv[2] ?? "127.0.0.1:50073", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(`serving on port ${port}`);
});

// Let running calls end; a second signal does not wait.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => server.tryShutdown(() => process.exit(0)));
