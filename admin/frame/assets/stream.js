// One event stream for all tabs of this browser. It carries only names of what changed; each page reads what it shows
// again through the ordinary, permission-checked address.
"use strict";
const ports = new Set();
let source = null, last = "", wait = 1000;

const tell = (message) => ports.forEach((port) => port.postMessage(message));

function open() {
  if (source) return;
  source = new EventSource("/live" + (last ? "?after=" + encodeURIComponent(last) : ""));
  source.onopen = () => { wait = 1000; tell({ state: "up", names: last ? [] : ["*"] }); };
  source.onerror = () => {
    tell({ state: "down" });
    if (source && source.readyState === EventSource.CLOSED) reopen();
  };
  source.addEventListener("changed", (e) => { last = e.lastEventId || last; tell({ names: e.data.split(" ") }); });
  source.addEventListener("over", () => { source.close(); source = null; tell({ state: "over" }); });
}

// The browser gives up on a refused stream (a restart behind a proxy, a session that ended); pages come and go meanwhile.
function reopen() {
  source = null;
  setTimeout(() => { if (ports.size) open(); }, wait);
  wait = Math.min(wait * 2, 30000);
}

self.onconnect = (e) => {
  const port = e.ports[0];
  ports.add(port);
  port.onmessage = (m) => { if (m.data === "bye") ports.delete(port); };
  open();
};
