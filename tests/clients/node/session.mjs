// What a person does with @kubernetes/client-node: watch, logs, exec, port-forward. Prints "done" at its end.
// usage: NODE_PATH is not read by modules, so the package's directory is the first argument.
import { createRequire } from "node:module";
import net from "node:net";
import { PassThrough, Writable } from "node:stream";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(process.argv[2], "session.js"));
const k8s = await import(pathToFileURL(require.resolve("@kubernetes/client-node")));

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const namespace = "default";

function equal(found, expected) {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
  }
}

const script = "mkdir /www; echo hello >/www/index.html; echo started; httpd -f -p 80 -h /www";
const pod = {
  metadata: { name: "web", labels: { app: "web" } },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "app", image: "busybox:1.36", command: ["sh", "-c", script] }],
  },
};

// watch
const seen = [];
let isReady, isGone;
const ready = new Promise((resolve) => { isReady = resolve; });
const gone = new Promise((resolve) => { isGone = resolve; });
const watching = await new k8s.Watch(config).watch(
  `/api/v1/namespaces/${namespace}/pods`,
  { labelSelector: "app=web", allowWatchBookmarks: true },
  (type, obj) => {
    if (type !== "BOOKMARK") seen.push(type);
    if ((obj.status?.conditions ?? []).some((one) => one.type === "Ready" && one.status === "True")) isReady();
    if (type === "DELETED") isGone();
  },
  () => {},
);
await core.createNamespacedPod({ namespace, body: pod });
await ready;

// an informer knows what a list knows
const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, () => core.listNamespacedPod({ namespace }));
const added = new Promise((resolve) => informer.on("add", (obj) => resolve(obj.metadata.name)));
await informer.start();
equal(await added, "web");
await informer.stop();

// logs
equal(await core.readNamespacedPodLog({ name: "web", namespace }), "started\n");

// exec
const collected = { out: "", err: "" };
const into = (name) => new Writable({ write(piece, _, done) { collected[name] += piece; done(); } });
const input = new PassThrough();
const status = await new Promise((resolve, reject) => {
  new k8s.Exec(config)
    .exec(namespace, "web", "app", ["sh", "-c", "read line; echo got $line; echo err >&2; exit 3"], into("out"), into("err"), input, false, resolve)
    .catch(reject);
  input.write("words\n");
});
equal([collected.out, collected.err, status.reason], ["got words\n", "err\n", "NonZeroExitCode"]);

// port-forward
const forward = new k8s.PortForward(config);
const server = net.createServer((socket) => forward.portForward(namespace, "web", [80], socket, null, socket));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const answer = await fetch(`http://127.0.0.1:${server.address().port}/`, { headers: { connection: "close" } });
equal(await answer.text(), "hello\n");
server.close();
server.closeAllConnections?.();

await core.deleteNamespacedPod({ name: "web", namespace });
await gone;
watching.abort();
equal([seen[0], seen.at(-1)], ["ADDED", "DELETED"]);
console.log("done");
process.exit(0);
