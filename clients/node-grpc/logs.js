import { randomUUID } from "node:crypto";
import { credentials, loadPackageDefinition, Metadata } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = new URL("../../proto/logservice.proto", import.meta.url).pathname;
// Names as the proto has them, enums by name; 64-bit numbers as text, which loses no digit.
const { logservice } = loadPackageDefinition(loadSync(PROTO, { keepCase: true, enums: String, longs: String, defaults: true }));

const address = process.env.LOG_SERVICE ?? "localhost:50051";
const client = new logservice.LogService(address, credentials.createInsecure()); // grpcs://: credentials.createSsl(ca)
const metadata = new Metadata();
if (process.env.LOGBRIDGE_KEY) metadata.set("authorization", `Bearer ${process.env.LOGBRIDGE_KEY}`);

/** One call, of at most ten seconds. */
function call(method, request) {
  return new Promise((resolve, reject) => {
    const answered = (error, answer) => (error ? reject(error) : resolve(answer));
    const deadline = Date.now() + 10_000;
    client[method].call(client, request, metadata, { deadline }, answered);
  });
}

/** An entry with an id and a time of its own: sent again, it is stored once. */
function entry(message, fields = {}) {
  const timestamp = new Date().toISOString();
  return { id: randomUUID(), service_name: "node-grpc", level: "INFO", message, timestamp, ...fields };
}

const written = await call("WriteLog", { log_entry: entry("one", { metadata: { user_id: "user123" } }) });
if (!written.success) throw new Error(written.error_message);

const log_entries = [entry("two", { level: "WARN" }), entry("")];
const batch = await call("BatchWriteLog", { log_entries });
for (const result of batch.results) console.log(result.verdict, result.error_message);

const found = await call("QueryLog", { service_name: "node-grpc", limit: 10 });
for (const log of found.logs) console.log(log.level, log.message, log.metadata);
client.close();
