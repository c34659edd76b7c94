// What a Pod object says, in the words that kubectl prints. Pure.

const KINDS = [
  ["initContainers", "initContainerStatuses"],
  ["containers", "containerStatuses"],
  ["ephemeralContainers", "ephemeralContainerStatuses"],
];
export const TINTS = 8;

/** The containers in the order in which a pod starts them: {name, kind, tint, image, spec, status}. */
export function containersOf(pod) {
  const found = [];
  for (const [declared, observed] of KINDS) {
    const statuses = new Map((pod.status?.[observed] ?? []).map((one) => [one.name, one]));
    for (const spec of pod.spec?.[declared] ?? []) {
      found.push({ name: spec.name, kind: kindOf(declared, spec), tint: (found.length % TINTS) + 1, image: spec.image ?? "", spec, status: statuses.get(spec.name) ?? {} });
    }
  }
  return found;
}

function kindOf(declared, spec) {
  if (declared === "ephemeralContainers") return "debug";
  if (declared === "containers") return "container";
  return spec.restartPolicy === "Always" ? "sidecar" : "init";
}

/** Whether a container stays: what the READY column counts. */
const counts = (one) => one.kind === "container" || one.kind === "sidecar";

/** A container's state as {word, tone, since, detail}; tones: good, wait, bad, done. */
export function stateOf(status) {
  const { running, waiting, terminated } = status.state ?? {};
  if (running) return { word: status.ready ? "Running" : "Not ready", tone: status.ready ? "good" : "wait", since: running.startedAt, detail: "" };
  if (terminated) {
    const ok = terminated.exitCode === 0;
    const detail = terminated.message || (terminated.signal ? `signal ${terminated.signal}` : `exit code ${terminated.exitCode}`);
    return { word: terminated.reason || (ok ? "Completed" : "Error"), tone: ok ? "done" : "bad", since: terminated.finishedAt, detail };
  }
  const reason = waiting?.reason || "Waiting";
  return { word: reason, tone: /BackOff|Err|Invalid|Cannot|Failed/.test(reason) ? "bad" : "wait", since: null, detail: waiting?.message ?? "" };
}

/** The pod as one row: {status, tone, ready, total, restarts}. */
export function summaryOf(pod) {
  const all = containersOf(pod);
  const kept = all.filter(counts);
  const ready = kept.filter((one) => one.status.ready).length;
  const restarts = kept.reduce((sum, one) => sum + (one.status.restartCount ?? 0), 0);
  const status = statusOf(pod, all);
  return { status, tone: toneOf(pod, status, ready, kept.length), ready, total: kept.length, restarts };
}

function statusOf(pod, all) {
  if (pod.metadata.deletionTimestamp) return "Terminating";
  const inits = all.filter((one) => one.kind === "init" || one.kind === "sidecar");
  const begun = pod.status?.conditions?.some((one) => one.type === "Initialized" && one.status === "True");
  if (!begun && inits.length > 0 && pod.status?.phase === "Pending") {
    const done = inits.filter((one) => one.status.state?.terminated?.exitCode === 0 || (one.kind === "sidecar" && one.status.started)).length;
    const current = inits[done];
    const waiting = current?.status.state?.waiting?.reason;
    if (waiting && waiting !== "PodInitializing" && waiting !== "ContainerCreating") return `Init:${waiting}`;
    if (current?.status.state?.terminated) return "Init:Error";
    if (current) return `Init:${done}/${inits.length}`;
  }
  for (const one of all.filter((each) => each.kind === "container").reverse()) {
    const { waiting, terminated } = one.status.state ?? {};
    if (waiting?.reason) return waiting.reason;
    if (terminated?.reason && pod.status?.phase !== "Running") return terminated.reason;
  }
  return pod.status?.reason || pod.status?.phase || "Unknown";
}

function toneOf(pod, status, ready, total) {
  if (status === "Terminating") return "done";
  if (pod.status?.phase === "Succeeded") return "done";
  if (pod.status?.phase === "Failed" || /BackOff|Err|Invalid|Cannot|Failed|OOM/.test(status)) return "bad";
  return ready === total && total > 0 && pod.status?.phase === "Running" ? "good" : "wait";
}

/** The path of a pod in the API. */
export const apiPath = (namespace, name) => `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;

/** The path of a pod's open box. */
export const boxPath = (namespace, name) => `/podrun/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
