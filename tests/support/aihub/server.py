"""A small AI Hub on 127.0.0.1: the client's own protocol, and models that really run.

    python -m tests.support.aihub.server FOLDER     serves until it is interrupted

The unmodified qai_hub client talks to it (QAIHUB_CLIENT_INI names it). Uploaded .tflite files run
in LiteRT, .onnx files in ONNX Runtime; a compile job hands the same bytes on as a QNN binary. A
quantise job runs the calibration samples through the model and hands it on unquantised: its
arithmetic is AI Hub's own, which nothing here can know. Profiles hold this computer's times.

Faults, set by tests: `fail` (words in a job's name -> reason), `slow` (looks until a job is done),
`drop` (connections to close without an answer), `token` (what is accepted), `quota` (jobs that
are still taken).
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import h5py
import numpy as np
from qai_hub import public_api_pb2 as pb
from qai_hub.util.dataset_entries_converters import dataset_entries_to_h5, h5_to_dataset_entries
from requests_toolbelt import MultipartDecoder

from tests.support.aihub.models import execute

TOKEN = "a-valid-token"
DEVICES = ("Samsung Galaxy S24", "Samsung Galaxy S22 5G", "Dragonwing RB3 Gen 2 Vision Kit")
FRAMEWORKS = ("framework:tflite", "framework:onnx", "framework:qnn")
PART = 1 << 24
RUNNING = pb.JOB_STATE_PROVISIONING_DEVICE


@dataclass
class State:
    """What the server holds, and how it misbehaves."""

    folder: Path
    token: str = TOKEN
    fail: dict[str, str] = field(default_factory=dict)
    slow: int = 0
    drop: int = 0
    quota: int = 10_000
    models: dict[str, Any] = field(default_factory=dict)
    datasets: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)
    count: int = 0

    def new_id(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count:05d}"

    def file(self, id: str) -> Path:
        return self.folder / id


class Handler(BaseHTTPRequestHandler):
    """Routes; `state` and `address` are set by `serve`."""

    state: State
    address: str
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = [part for part in urlparse(self.path).path.split("/") if part]
        with self.state.lock:
            if self.state.drop:
                self.state.drop -= 1
                self.close_connection = True
                self.connection.close()
                return
            if path[0] == "files":
                self._file(path[1], body)
            elif self.headers.get("Authorization") != f"token {self.state.token}":
                self._send(401, b"", "text/plain")
            else:
                self._api(path[2:], body)

    do_GET = do_POST = do_PUT = do_PATCH = handle_any

    def _send(self, status: int, content: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, message: Any) -> None:
        self._send(200, message.SerializeToString(), "application/x-protobuf")

    def _created(self, id: str) -> None:
        made = pb.CreateUpdateResponse(id=id)
        made.creation_time.GetCurrentTime()
        made.expiration_time.FromSeconds(int(time.time()) + 86400)
        self._answer(made)

    def _file(self, id: str, body: bytes) -> None:
        """Take or give the bytes of a model or data set."""
        if self.command == "GET":
            self._send(200, self.state.file(id).read_bytes(), "application/octet-stream")
            return
        kind = self.headers["Content-Type"] or ""
        if kind.startswith("multipart/"):
            parts = MultipartDecoder(body, kind).parts
            field = b'name="file"'
            body = next(p.content for p in parts if field in p.headers[b"Content-Disposition"])
        self.state.file(id).write_bytes(body)
        self._send(200, b"", "text/plain", ETag=f'"{id}"')

    def _api(self, path: list[str], body: bytes) -> None:
        kind, rest = path[0], path[1:]
        {
            "devices": self._devices,
            "models": self._models,
            "datasets": self._datasets,
            "jobs": self._jobs,
        }[kind](rest, body)

    def _devices(self, _: list[str], __: bytes) -> None:
        name = parse_qs(urlparse(self.path).query).get("name", [""])[0]
        found = [
            pb.Device(name=d, os="14", attributes=FRAMEWORKS) for d in DEVICES if name in ("", d)
        ]
        self._answer(pb.DeviceList(devices=found))

    def _models(self, path: list[str], body: bytes) -> None:
        if not path:
            model = pb.Model.FromString(body)
            model.model_id = self.state.new_id("m")
            self.state.models[model.model_id] = model
            self._created(model.model_id)
        elif path[1:] == ["multipart_upload"] and self.command == "GET":
            made = pb.FileUploadResponse()
            made.multipart_url.urls.append(f"{self.address}/files/{path[0]}")
            made.multipart_url.max_part_size, made.multipart_url.upload_id = PART, path[0]
            self._answer(made)
        elif self.command == "POST":
            self._created(path[0])
        else:
            self._answer(self.state.models[path[0]])

    def _datasets(self, path: list[str], body: bytes) -> None:
        if not path:
            self._created(self._new_dataset(pb.Dataset.FromString(body)))
        elif path[1:] == ["upload_url"]:
            made = pb.FileUploadResponse()
            made.url.url, made.url.file_field_name = f"{self.address}/files/{path[0]}", "file"
            self._answer(made)
        elif path[1:] == ["download_data"]:
            made = pb.FileDownloadResponse()
            made.url.url, made.url.filename = f"{self.address}/files/{path[0]}", "data.h5"
            self._answer(made)
        elif self.command == "PATCH":
            self._created(path[0])
        else:
            self._answer(self.state.datasets[path[0]])

    def _new_dataset(self, dataset: Any) -> str:
        dataset.dataset_id = self.state.new_id("d")
        dataset.creation_time.GetCurrentTime()
        dataset.expiration_time.FromSeconds(int(time.time()) + 86400)
        self.state.datasets[dataset.dataset_id] = dataset
        return dataset.dataset_id

    def _jobs(self, path: list[str], body: bytes) -> None:
        if not path:
            if self.state.quota == 0:
                self._send(429, b"too many jobs", "text/plain")
                return
            self.state.quota -= 1
            self._created(self._new_job(pb.Job.FromString(body)))
        elif path[1:] == ["result"]:
            self._answer(self.state.results[path[0]])
        else:
            self._answer(self._look(path[0]))

    def _new_job(self, job: Any) -> str:
        kind = job.WhichOneof("job")
        inner, id = getattr(job, kind), self.state.new_id("j")
        setattr(inner, f"{kind}_id", id)
        inner.job_state = RUNNING
        inner.creation_time.GetCurrentTime()
        inner.model.CopyFrom(self.state.models[inner.model.model_id])
        self.state.jobs[id], self.state.looks[id] = job, self.state.slow
        return id

    def _look(self, id: str) -> Any:
        """Show a job; it is done when it has been looked at often enough."""
        job = self.state.jobs[id]
        kind = job.WhichOneof("job")
        inner = getattr(job, kind)
        if inner.job_state == RUNNING and self.state.looks[id] <= 0:
            reasons = [why for word, why in self.state.fail.items() if word in inner.name]
            if reasons:
                inner.job_state, inner.failure_reason = pb.JOB_STATE_FAILED, reasons[0]
            else:
                {
                    "inference_job": self._infer,
                    "compile_job": self._compile,
                    "quantize_job": self._quantise,
                }[kind](id, inner)
                inner.job_state = pb.JOB_STATE_DONE
        self.state.looks[id] -= 1
        return job

    def _samples(self, id: str) -> dict[str, list[np.ndarray]]:
        with h5py.File(self.state.file(id), "r") as held:
            return {name: list(values) for name, values in h5_to_dataset_entries(held).items()}

    def _infer(self, id: str, job: Any) -> None:
        content = self.state.file(job.model.model_id).read_bytes()
        outputs, layers, times = execute(content, self._samples(job.dataset.dataset_id))
        made = self._new_dataset(pb.Dataset(name="outputs"))
        with h5py.File(self.state.file(made), "w") as held:
            dataset_entries_to_h5(outputs, held)
        detail = pb.ProfileDetail(
            major_version=1, minor_version=2, execution_time=min(times), all_execution_times=times
        )
        detail.execution_memory.increase.lower, detail.execution_memory.increase.upper = 0, 1 << 20
        detail.execution_memory.peak.lower, detail.execution_memory.peak.upper = 1 << 20, 5 << 20
        board = "Dragonwing" in job.device.name
        quantised = any("quant" in kind.lower() for _, kind in layers)
        for name, kind in layers:
            integer = quantised and kind in ("FULLY_CONNECTED", "DELEGATE", "MatMul")
            unit = pb.COMPUTE_UNIT_CPU if board and not integer else pb.COMPUTE_UNIT_NPU
            detail.layer_details.add(name=name, layer_type_name=kind, compute_unit=unit)
        result = pb.InferenceJobResult(inference_job_id=id, output_dataset_id=made, detail=detail)
        self.state.results[id] = pb.JobResult(inference_job_result=result)

    def _compile(self, id: str, job: Any) -> None:
        assert job.options == "--target_runtime qnn_context_binary", job.options
        self._hand_on(id, job, pb.MODEL_TYPE_QNN_CONTEXT_BINARY)

    def _quantise(self, id: str, job: Any) -> None:
        content = self.state.file(job.model.model_id).read_bytes()
        samples = self._samples(job.calibration_dataset.dataset_id)
        execute(content, {name: values[:1] for name, values in samples.items()})
        self._hand_on(id, job, pb.MODEL_TYPE_ONNX)

    def _hand_on(self, id: str, job: Any, kind: int) -> None:
        made = pb.Model(
            model_id=self.state.new_id("m"), name=job.name, model_type=kind, producer_id=id
        )
        made.creation_time.GetCurrentTime()
        self.state.file(made.model_id).write_bytes(self.state.file(job.model.model_id).read_bytes())
        self.state.models[made.model_id] = made
        job.target_model.CopyFrom(made)


@contextmanager
def serve(folder: Path) -> Iterator[tuple[State, str]]:
    """Run a server while the block runs; gives its state and address."""
    folder.mkdir(parents=True, exist_ok=True)
    state = State(folder)

    class Own(Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    Own.state, Own.address = state, f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state, Own.address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_config(file: Path, address: str, token: str = TOKEN) -> Path:
    """Write a client.ini that names a server."""
    file.write_text(
        f"[api]\napi_token = {token}\napi_url = {address}\nweb_url = {address}\nverbose = False\n"
    )
    return file


if __name__ == "__main__":
    with serve(Path(sys.argv[1]) / "hub") as (_, url):
        ini = write_config(Path(sys.argv[1]) / "client.ini", url)
        print(f"export QAIHUB_CLIENT_INI={ini}", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
