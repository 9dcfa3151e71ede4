"""Qualcomm AI Hub behind a few verbs: upload, quantise, compile, infer, wait, download.

Every verb writes the id that it gets into a ledger (ledger.py) before it waits, and finds it there
the next time. Whatever goes wrong is one HubError in plain words, with what to do; ids that are
written stay. A job that the service itself calls failed is a JobFailed.

Not here: which jobs a deployment needs (experiments/deploy/aihub); waiting for rate limits, which
are errors, since the same command goes on later.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.aihub.ledger import Ledger
from trm_jax.command_line import install_text
from trm_jax.data.transport import known_cause
from trm_jax.names import did_you_mean

HOW_TO_INSTALL = f"AI Hub needs its client: {install_text('qai_hub')}"
HOW_TO_TOKEN = """make a token at https://workbench.aihub.qualcomm.com (Account, API Token), then
  qai-hub configure --api_token TOKEN
which writes ~/.qai_hub/client.ini; QAIHUB_CLIENT_INI names another file. --dry-run needs none"""
RETRYING = ("urllib3", "backoff")  # loggers of what the client retries with
FRAMES = re.compile(r"[┌┐└┘─|\s]+")

Samples = Mapping[str, Sequence[np.ndarray]]
"""Inputs or outputs: tensor name -> one array per sample."""


class HubError(RuntimeError):
    """AI Hub cannot be used as asked; the message says why and what to do."""


class JobFailed(HubError):
    """A job ended without a result; the service's reason is in the message."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How to wait for jobs.

    Attributes:
      timeout_s: for one job; it goes on over there, and is found again.
      poll_s: between two looks.
    """

    timeout_s: float = 3600.0
    poll_s: float = 5.0


class Hub:
    """A connection.

    Raises:
      ModuleNotFoundError: the client is not installed.
      HubError: no token.
    """

    def __init__(self, ledger: Ledger, waiting: Waiting, say: Callable[[str], None]) -> None:
        try:
            import qai_hub
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{error}. {HOW_TO_INSTALL}") from error
        self._qai, self._ledger, self._waiting, self._say = qai_hub, ledger, waiting, say
        self._client: Any = qai_hub.Client()
        with plain_errors("reading the token"):
            self._client.set_verbose(False)

    def check_device(self, name: str) -> None:
        """Check that a device is there.

        Raises:
          HubError: it is not; the message lists similar ones.
        """
        with plain_errors("asking for the devices"):
            names = {device.name for device in self._client.get_devices()}
        if name not in names:
            words = {word.lower() for word in name.split()}
            near = sorted(n for n in names if words & {w.lower() for w in n.split()})
            shown = ", ".join((near or sorted(names))[:12])
            asked = did_you_mean(name, names)
            raise HubError(f"AI Hub has no device {name!r};{asked} similar ones: {shown}")

    def upload(self, file: Path) -> str:
        """Upload a model, once per content; returns its id."""
        key = f"upload/{sha256(file.read_bytes())}"
        if not self._ledger.find(key):
            with plain_errors(f"uploading {file.name}"):
                model = self._client.upload_model(str(file), name=file.name)
            self._ledger.add(key, model.model_id, model.url)
        return self._ledger.find(key)

    def upload_inputs(self, inputs: Samples, name: str) -> str:
        """Upload samples, once per content and 30 days; returns the data set's id."""
        key = f"dataset/{hash_samples(inputs)}"
        dataset_id = self._ledger.find(key)
        if dataset_id:
            with plain_errors("looking for the data set"):
                if not self._client.get_dataset(dataset_id).is_expired():
                    return dataset_id
            self._ledger.add(key, "")  # expired: the same samples get another id
        with plain_errors(f"uploading {name}"):
            dataset = self._client.upload_dataset({k: list(v) for k, v in inputs.items()}, name)
        self._ledger.add(key, dataset.dataset_id)
        return dataset.dataset_id

    def quantise(self, key: str, model: str, calibration: str, weights: str, inputs: str) -> str:
        """Have AI Hub quantise an ONNX model; dtypes are its names, INT4, INT8, INT16."""
        dtypes = self._qai.QuantizeDtype
        return self._job(
            key,
            lambda: self._client.submit_quantize_job(
                self._client.get_model(model),
                self._client.get_dataset(calibration),
                weights_dtype=dtypes[weights],
                activations_dtype=dtypes[inputs],
                name=key,
            ),
        )

    def compile(self, key: str, model: str, device: str, options: str) -> str:
        """Have AI Hub compile an ONNX model for a device."""
        return self._job(
            key,
            lambda: self._client.submit_compile_job(
                self._client.get_model(model),
                self._qai.Device(device),
                name=key,
                options=options,
                retry=False,
            ),
        )

    def infer(self, key: str, model: str, device: str, inputs: str) -> str:
        """Run a model on samples, and profile it."""
        return self._job(
            key,
            lambda: self._client.submit_inference_job(
                self._client.get_model(model),
                self._qai.Device(device),
                name=key,
                inputs=self._client.get_dataset(inputs),
                profile=True,
                retry=False,
            ),
        )

    def has_failed(self, job: str) -> bool:
        """Return whether a job failed; one that still runs has not."""
        with plain_errors(f"looking at job {job}"):
            return bool(self._client.get_job(job).get_status().failure)

    def forget(self, job: str) -> None:
        """Cancel a request in the ledger, so that it is submitted again."""
        for key in [k for k, entry in self._ledger.entries.items() if entry.id == job]:
            self._ledger.add(key, "")

    def target_model(self, job: str) -> str:
        """Wait for a quantise or compile job; returns the id of the model that results."""
        done = self._wait(job)
        with plain_errors(f"reading job {job}"):
            if (model := done.get_target_model()) is not None:
                return model.model_id
        raise JobFailed(f"job {job} made no model; see {done.url}")

    def results(self, job: str) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
        """Wait for an inference job and download outputs and profile."""
        done = self._wait(job)
        with plain_errors(f"downloading the results of job {job}"):
            outputs, profile = done.download_output_data(), done.download_profile()
        if not outputs or not profile:
            raise JobFailed(f"job {job} gave no {'outputs' if not outputs else 'profile'}")
        return {name: list(values) for name, values in outputs.items()}, dict(profile)

    def url(self, job: str) -> str:
        """Return the address of a job's page."""
        return f"{self._client.config.web_url}/jobs/{job}/"

    def _job(self, key: str, submit: Callable[[], Any]) -> str:
        submitted = self._ledger.find(key)
        if submitted:
            return submitted
        with plain_errors(f"submitting {key}"):
            job = submit()
        self._ledger.add(key, job.job_id, job.url)
        self._say(f"{key}: job {job.job_id}, {job.url}")
        return job.job_id

    def _wait(self, job: str) -> Any:
        """Look at a job until it is finished.

        Raises:
          JobFailed: it failed.
          HubError: it takes longer than allowed, or the connection is gone.
        """
        end = time.monotonic() + self._waiting.timeout_s
        with plain_errors(f"waiting for job {job}"):
            submitted = self._client.get_job(job)
        while True:
            with plain_errors(f"waiting for job {job}"):
                status = submitted.get_status()
            if status.success:
                return submitted
            if status.finished:
                raise JobFailed(
                    f"job {job} failed: {status.message or 'no reason given'}; see {submitted.url}"
                )
            if time.monotonic() > end:
                raise HubError(
                    f"job {job} is still {status.code} after {self._waiting.timeout_s:.0f} s; it"
                    f" goes on over there ({submitted.url}), and the same command picks it up"
                )
            time.sleep(self._waiting.poll_s)


@contextmanager
def plain_errors(what: str) -> Iterator[None]:
    """Turn whatever the client raises into a HubError in plain words."""
    from qai_hub.client import RateLimitedError

    for name in RETRYING:  # each attempt would be a line of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    except HubError:
        raise
    except RateLimitedError as error:
        raise HubError(
            f"{what}: AI Hub's quota is used up ({plain_text(error)}); ids so far are kept, the"
            " same command goes on when jobs have finished"
        ) from error
    except Exception as error:  # of the client and of three libraries below it
        text = plain_text(error)
        if "token" in text.lower() or "configuration" in text:
            raise HubError(f"{what}: {text}; {HOW_TO_TOKEN}") from error
        if cause := known_cause(error, "AI Hub"):
            raise HubError(
                f"{what}: {cause}; ids so far are kept, the same command goes on"
            ) from error
        raise HubError(f"{what}: {text}") from error


def plain_text(error: Exception) -> str:
    """Take the frames off the client's messages."""
    return FRAMES.sub(" ", str(error)).strip()


def sha256(content: bytes) -> str:
    """Hash a file's content for a key."""
    return hashlib.sha256(content).hexdigest()[:16]


def hash_samples(samples: Samples) -> str:
    """Hash inputs: names, shapes and values."""
    digest = hashlib.sha256()
    for name, values in samples.items():
        for value in values:
            digest.update(f"{name} {value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:16]
