"""The firmware with a stand-in for TFLM, built once: on this computer and for the emulated M55."""

import pytest

from tests.support.firmware.machines import Emulated, Host, Machine, need


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    need("make", "gcc")
    return Host(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="session", params=["host", "cortex-m55"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    if request.param == "host":
        return request.getfixturevalue("host")
    need("make", "arm-none-eabi-gcc", "qemu-system-arm")
    return Emulated(tmp_path_factory.mktemp("an547"))
