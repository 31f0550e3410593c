// A caller written in JavaScript, from protos/ alone, without generated code: it makes every kind of call there is and prints as
// JSON what came back, so that the test that started it can compare callers in different languages line by line.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import protobuf from "protobufjs";

// Milliseconds that bound each call; none comes near them unless something hangs.
const PATIENCE = 20_000;

const [protos, target] = process.argv.slice(2);
if (!target) {
  console.error("usage: client.js PROTOS HOST:PORT");
  process.exit(2);
}

const FILE = "fanmesh/v1/dispatcher.proto";
const options = { keepCase: true, enums: String, longs: Number, defaults: true, oneofs: true, includeDirs: [protos] };
const { DispatcherService } = grpc.loadPackageDefinition(loader.loadSync(FILE, options)).fanmesh.v1;
const client = new DispatcherService(target, grpc.credentials.createInsecure());

// Details of errors come as bytes, which the loaded service cannot read; ErrorInfo is public and so small that it is written here.
const root = new protobuf.Root();
root.resolvePath = (_, path) => (protobuf.common.get(path) ? path : `${protos}/${path}`);
root.loadSync(FILE);
const Status = root.lookupType("google.rpc.Status");
const ReportSummary = root.lookupType("fanmesh.v1.ReportSummary");
const ErrorInfo = new protobuf.Type("ErrorInfo")
  .add(new protobuf.Field("reason", 1, "string"))
  .add(new protobuf.Field("domain", 2, "string"))
  .add(new protobuf.MapField("metadata", 3, "string", "string"));

const deadline = (ms) => ({ deadline: new Date(Date.now() + ms) });
const structRequest = (plan) => ({ plan, input: { data: { fields: { name: { stringValue: "Ada" } } } } });
const first = (metadata, key) => metadata?.get(key)[0] ?? null;

function unary(method, request, patience = PATIENCE) {
  return new Promise((resolve) => {
    let trailer;
    const call = client[method](request, deadline(patience), (error, reply) =>
      // The callback comes before the status event, so what needs the trailers waits for that.
      setImmediate(() => resolve({ error, reply, trailer: trailer ?? error?.metadata })),
    );
    call.on("status", (status) => (trailer = status.metadata));
  });
}

function expected(error) {
  if (error) throw error;
}

async function dispatch() {
  const { error, reply, trailer } = await unary("Dispatch", structRequest("greet"));
  expected(error);
  return { result: plain(reply.result.data), report: report(reply.report), trailer: first(trailer, "fanmesh-complete") };
}

async function failure() {
  const { error, trailer } = await unary("Dispatch", structRequest("broken"));
  const pushback = first(trailer, "grpc-retry-pushback-ms");
  return { ...problem(error), trailer: first(trailer, "fanmesh-complete"), pushback };
}

async function inMessage() {
  const { error, reply } = await unary("Dispatch", { ...structRequest("broken"), failure_in_message: true });
  expected(error);
  const { code, message, details } = reply.outcome;
  return { code, message, ...unpacked(details), report: report(reply.report) };
}

function stream(plan) {
  return new Promise((resolve, reject) => {
    const out = { seqs: [], snapshots: [] };
    const request = { plan, input: { json: '{"name": "Ada"}' } };
    const call = client.DispatchStream({ request, emit: "EMIT_MODE_SNAPSHOT" }, deadline(PATIENCE));
    call.on("data", (message) => {
      out.seqs.push(message.seq);
      if (message.event === "snapshot") {
        out.snapshots.push(JSON.parse(message.snapshot.json));
      } else if (message.event === "final") {
        out.report = report(message.final.report);
        if (message.final.result) out.result = JSON.parse(message.final.result.json);
      } else {
        reject(new Error(`an event of kind ${message.event}`));
      }
    });
    call.on("error", (error) => (out.error = problem(error)));
    call.on("status", (status) => {
      out.trailer = first(status.metadata, "fanmesh-complete");
      setImmediate(() => resolve(out));
    });
  });
}

async function explain() {
  const { error, reply } = await unary("Explain", { request: structRequest("greet") });
  expected(error);
  return { plan: reply.plan, nodes: reply.nodes.map(({ branch, runs, required }) => ({ branch, runs, required })) };
}

async function late() {
  const { error } = await unary("Dispatch", structRequest("hangs"), 100);
  return { code: error?.code ?? 0 };
}

function problem(error) {
  if (!error?.metadata) throw new Error(`a status was expected, not ${error}`);
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  return { code: error.code, message: error.details, ...unpacked(bytes ? Status.decode(bytes).details : []) };
}

function unpacked(details) {
  const out = {};
  for (const { type_url, typeUrl, value } of details) {
    const name = (type_url ?? typeUrl).split("/").at(-1);
    if (name === "google.rpc.ErrorInfo") {
      const { reason, domain, metadata } = ErrorInfo.decode(value);
      out.info = { reason, domain, metadata };
    } else if (name === "fanmesh.v1.ReportSummary") {
      const summary = ReportSummary.toObject(ReportSummary.decode(value), { enums: String, arrays: true });
      out.summary = { completed_by: summary.completedBy, branches: branches(summary.worst) };
    } else {
      throw new Error(`a detail of kind ${name}`);
    }
  }
  return out;
}

function report({ plan, complete, completed_by, coverage, branches: rows }) {
  return { plan, complete, completed_by, coverage: coverage.ratio, branches: branches(rows) };
}

function branches(rows) {
  return Object.fromEntries(rows.map(({ branch, state }) => [branch, state]));
}

// A google.protobuf.Struct, as the loader gives it, as a plain object.
function plain({ fields }) {
  const one = (item) =>
    ({
      structValue: () => plain(item.structValue),
      listValue: () => item.listValue.values.map(one),
      nullValue: () => null,
    })[item.kind]?.() ?? item[item.kind];
  return Object.fromEntries(Object.entries(fields).map(([key, item]) => [key, one(item)]));
}

const out = {
  dispatch: await dispatch(),
  failure: await failure(),
  in_message: await inMessage(),
  stream: await stream("greet"),
  failed_stream: await stream("broken"),
  explain: await explain(),
  deadline: await late(),
};
client.close();
console.log(JSON.stringify(out));
