// Calls a dispatcher from Node: one answer, a stream, and a call that fails. What each line means: examples/README.md.
//
//   node client.js [HOST:PORT]
//
// Begin with `make serve`, which listens on localhost:50050.
import grpc from "@grpc/grpc-js";
import { DispatcherService, decode } from "./protos.js";

const CONTACT = { phone: "+49 30 23125000", email: "ada@example.org" }; // no IP address: that branch will have nothing to say
const request = { plan: "enrich_contact", input: { json: JSON.stringify(CONTACT) } };

// Travels as the gRPC deadline, and bounds the workers too.
const patience = () => ({ deadline: Date.now() + 10_000 });
const print = (label, ...texts) => console.log(label.padEnd(10), ...texts);

const client = new DispatcherService(process.argv[2] ?? "localhost:50050", grpc.credentials.createInsecure());

console.log("== Dispatch");
const { reply, trailers } = await dispatch(request);
print("result", reply.result.json); // JSON because the input was; `reply_kind` may ask for a Struct
print("complete", ...trailers.get("fanmesh-complete"));
show(reply.report);

console.log("== DispatchStream");
// The stream can be iterated; `break` cancels the request.
for await (const message of client.DispatchStream({ request, emit: "EMIT_MODE_SNAPSHOT" }, patience())) {
  if (message.event === "snapshot") {
    print("snapshot", `coverage ${message.coverage.ratio.toFixed(2)}`, message.snapshot.json);
  } else if (message.event === "final") {
    print("final", `coverage ${message.final.report.coverage.ratio.toFixed(2)}`, message.final.result.json);
  }
}

console.log("== A call that fails");
try {
  // The plan requires the branch `phone`; without its answer there is an error instead of a result.
  await dispatch({ ...request, input: { json: '{"phone": "unlisted"}' } });
} catch (error) {
  explain(error);
}
client.close();

// One call as a promise. The answer and the trailers come as separate events; both are there when the status is.
function dispatch(request) {
  return new Promise((resolve, reject) => {
    let reply;
    const call = client.Dispatch(request, patience(), (error, message) => (error ? reject(error) : (reply = message)));
    call.on("status", ({ code, metadata }) => code === grpc.status.OK && setImmediate(() => resolve({ reply, trailers: metadata })));
  });
}

// What is missing, why, and what was tried.
function show(report) {
  print("coverage", report.coverage.ratio.toFixed(2), "by", report.completed_by);
  for (const { branch, state, reason, status, attempts } of report.branches) {
    if (state === "BRANCH_STATE_SUCCEEDED" || reason === "BRANCH_REASON_CONDITION") {
      continue; // it answered, or the plan did not want it for this input
    }
    print("missing", `${branch}: ${state} ${reason}: ${status?.message ?? ""}`);
    for (const { number, kind, code, endpoint } of attempts) {
      print("attempt", `${branch} ${number}: ${kind} code ${code} at ${endpoint}`);
    }
  }
}

// The error as rich as it comes: a google.rpc.Status in the trailers, with details that are messages themselves.
function explain(error) {
  print("status", `${error.code}: ${error.details}`);
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  for (const detail of decode("google.rpc.Status", bytes).details) {
    const type = detail.type_url.split("/").at(-1);
    if (type === "google.rpc.ErrorInfo") {
      const { reason, metadata } = decode(type, detail.value);
      print("reason", reason); // of the domain "fanmesh"
      for (const key of Object.keys(metadata).sort()) print("metadata", `${key}=${metadata[key]}`);
    } else if (type === "fanmesh.v1.ReportSummary") {
      for (const row of decode(type, detail.value).worst) print("summary", `${row.branch}: ${row.state} ${row.reason}`);
    }
  }
  print("pushback", ...error.metadata.get("grpc-retry-pushback-ms")); // milliseconds; negative = do not try again
}
