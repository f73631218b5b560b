#!/usr/bin/python3
"""limit is a customisation in Python, made to be copied: plugin.yaml gives each customer a credit limit, and this program
is asked before a deal is written and refuses one that is worth more. It speaks the contract itself: plugins/wire/v1 is
its manual, and base.proto begins with how a plugin starts."""
import hmac
import os
import signal
import sys
import threading
from concurrent import futures

sys.dont_write_bytecode = True
import grpc
from google.protobuf import any_pb2

from karov.plugin.v1 import base_pb2 as base, records_pb2 as records, work_pb2 as work

ID, VERSION, API = "com.karov-crm.limit", "0.1.0", "1.1"
CODES = {base.KIND_INVALID: grpc.StatusCode.INVALID_ARGUMENT, base.KIND_FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED}


class Refused(Exception):
    """Says no with a sentence of the locale folder."""

    def __init__(self, kind, key, **params):
        super().__init__(key)
        self.fault = base.Fault(kind=kind, key=key, params={name: str(value) for name, value in params.items()})


def within_limit(ask, call):
    """Is asked on the way of every deal, so it reads one record at most."""
    deal = {name: value for name, value in ask.before.values.items()}
    deal.update(ask.values.items())
    value, customer = deal.get("value"), deal.get("contact")
    if ask.override or value is None or customer is None or value.money.minor <= 0 or not customer.text:
        return work.BeforeResponse()
    found = call("karov.plugin.v1.Records/Get", records.GetRequest(entity="contact", ids=[customer.text]), records.GetResponse)
    for contact in found.records:
        most = contact.values["limit_amount"].money
        if most.currency == value.money.currency and value.money.minor > most.minor:
            raise Refused(base.KIND_INVALID, "limit.over", name=contact.values["name"].text, value=plain(value.money), most=plain(most))
    return work.BeforeResponse()


def plain(money):
    """Writes money as sentences want it; here for currencies of two decimals."""
    return f"{money.minor // 100}.{money.minor % 100:02d} {money.currency}"


class Plugin:
    """The line to Karov: it serves Base and Hooks, and calls back."""

    def __init__(self, token):
        self.token, self.done = token, threading.Event()
        self.busy, self.idle = 0, threading.Condition()
        self.host = grpc.insecure_channel("unix:" + os.environ["KAROV_HOST_SOCKET"])
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        self.serve("karov.plugin.v1.Base", {
            "Info": (base.InfoRequest, lambda _ask, _call: base.InfoResponse(
                id=ID, version=VERSION, api=API, services=["karov.plugin.v1.Hooks"])),
            "Configure": (base.ConfigureRequest, lambda _ask, _call: base.ConfigureResponse()),
            "Drain": (base.DrainRequest, self.drain),
            "Shutdown": (base.ShutdownRequest, self.shutdown)})
        self.serve("karov.plugin.v1.Hooks", {"Before": (work.BeforeRequest, self.counted(within_limit))})
        check = grpc.unary_unary_rpc_method_handler(lambda _ask, _context: b"\x08\x01")  # SERVING
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}),))

    def serve(self, service, methods):
        """Adds a service whose methods take a message and a function that calls back."""
        handlers = {name: grpc.unary_unary_rpc_method_handler(self.answer(does), takes.FromString, lambda m: m.SerializeToString())
                    for name, (takes, does) in methods.items()}
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def answer(self, does):
        """Refuses calls without the token, and tells a Fault as a gRPC status."""
        def handler(ask, context):
            said = dict(context.invocation_metadata())
            if not hmac.compare_digest(said.get("karov-token", ""), self.token):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token of this start is missing or wrong")
            whom = [("karov-token", self.token)] + [(k, v) for k, v in said.items() if k == "karov-call"]

            def call(method, message, gives):
                send = self.host.unary_unary("/" + method, lambda m: m.SerializeToString(), gives.FromString)
                return send(message, metadata=whom, timeout=context.time_remaining())
            try:
                return does(ask, call)
            except Refused as no:
                detail = any_pb2.Any()
                detail.Pack(no.fault)
                code = CODES[no.fault.kind]  # and a google.rpc.Status with the code and the detail, by hand
                status = b"\x08" + varint(code.value[0]) + b"\x1a" + varint(detail.ByteSize()) + detail.SerializeToString()
                context.set_trailing_metadata((("grpc-status-details-bin", status),))
                context.abort(code, no.fault.key)
        return handler

    def counted(self, does):
        """Counts what is under way, for Drain."""
        def handler(ask, call):
            with self.idle:
                self.busy += 1
            try:
                return does(ask, call)
            finally:
                with self.idle:
                    self.busy -= 1
                    self.idle.notify_all()
        return handler

    def drain(self, ask, _call):
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0, ask.within.ToSeconds())
        return base.DrainResponse()

    def shutdown(self, _ask, _call):
        self.done.set()
        return base.ShutdownResponse()


def varint(n):
    """Writes a length as protobuf does."""
    return bytes([n]) if n < 0x80 else bytes([n & 0x7F | 0x80]) + varint(n >> 7)


def main():
    if os.environ.get("KAROV_PLUGIN") != "karov.plugin.v1":
        sys.exit(f"{ID} {VERSION} is a plugin of Karov: Karov starts it, a person cannot.")
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.SIG_IGN)  # Karov decides when a plugin ends
    life = os.fdopen(int(os.environ["KAROV_LIFE_FD"]), "rb", buffering=0)
    plugin = Plugin(life.read(65).decode().strip())
    threading.Thread(target=lambda: (life.read(), os._exit(3)), daemon=True).start()
    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "python.sock")
    plugin.server.add_insecure_port("unix:" + path)
    plugin.server.start()
    print(f"1|1|unix|{path}|grpc", flush=True)
    plugin.done.wait()
    plugin.server.stop(1).wait()


if __name__ == "__main__":
    main()
