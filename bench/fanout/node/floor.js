// The floor in Node: Promise.all over clients of proto-loader in a grpc-js server, as one writes it by hand.
//
// The same messages and the same work as floor.py: read the JSON input, call N workers in parallel with a deadline, put their answers
// under their names. No report, no partial result, no metadata. One connection to the worker, as the others have.
//
// Arguments: the folder with the protos, the worker's port, the number of branches. Prints its port; ends when stdin does.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const PATIENCE = 1500; // ms
const [protos, port, width] = process.argv.slice(2);
const branches = Array.from({ length: Number(width) }, (_, at) => `b${at}`);

// Fields that are not set stay away: nobody reads them here.
const files = ["fanmesh/v1/dispatcher.proto", "fanmesh/v1/worker.proto"];
const definition = loader.loadSync(files, { includeDirs: [protos], keepCase: true });
const { DispatcherService, WorkerService } = grpc.loadPackageDefinition(definition).fanmesh.v1;

const direct = { "grpc.enable_http_proxy": 0 }; // the worker is on this machine
const worker = new WorkerService(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), direct);

// Calls every worker and merges by name.
async function fanOut(call) {
  const { input } = call.request;
  try {
    JSON.parse(input?.json);
  } catch (error) {
    throw Object.assign(error, { code: grpc.status.INVALID_ARGUMENT, details: `input: ${error.message}` });
  }
  const deadline = Math.min(call.getDeadline(), Date.now() + PATIENCE);
  const running = new Set();
  call.once("cancelled", () => running.forEach((one) => one.cancel())); // gone, or too late, or one failed: the others are not needed
  const ask = (branch) =>
    new Promise((resolve, reject) => {
      const one = worker.Process({ branch, input }, { deadline }, (error, answer) => {
        running.delete(one);
        if (error) reject(error);
        else resolve(answer);
      });
      running.add(one);
    });
  const answers = await Promise.all(branches.map(ask));
  const merged = Object.fromEntries(answers.map(({ output }, at) => [branches[at], JSON.parse(output?.json)]));
  return { result: { json: JSON.stringify(merged) } };
}

const server = new grpc.Server();
server.addService(DispatcherService.service, {
  Dispatch: (call, answer) => {
    fanOut(call).then((reply) => answer(null, reply), answer);
  },
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
  if (error) throw error;
  console.log(bound);
});

process.stdin.resume().on("end", () => {
  server.forceShutdown();
  worker.close();
});
