"""The Ethos-U accelerators, and the memory around each that Vela is told of.

Vela's estimates depend on clock and memory as much as on the accelerator, so both are part of
what is recorded. They are sections of the configuration file that comes with Vela
(ethosu/config_files/Arm/vela.ini), its fastest embedded system for each family:

    U55   Ethos_U55_High_End_Embedded    500 MHz, SRAM 4 GB/s, flash 0.5 GB/s
    U65   Ethos_U65_High_End             1 GHz, SRAM 16 GB/s, DRAM 3.75 GB/s
    U85   Ethos_U85_SYS_DRAM_Mid         1 GHz, SRAM 32 GB/s, DRAM 12 GB/s

The memory mode is Shared_Sram for all: tensors in an SRAM that the CPU reads too, constants in
flash or DRAM. That is how TFLite Micro's arena lies, which operators on the CPU need.

Nothing here imports jax: command lines list the accelerators before anything is loaded.
"""

import enum

MEMORY_MODE = "Shared_Sram"


class Accelerator(enum.Enum):
    """An Ethos-U; the value is Vela's name for it.

    Attributes:
      system_config: section of Vela's configuration file.
    """

    _value_: str
    system_config: str

    def __new__(cls, name: str, system_config: str) -> "Accelerator":
        accelerator = object.__new__(cls)
        accelerator._value_, accelerator.system_config = name, system_config
        return accelerator

    U55_128 = ("ethos-u55-128", "Ethos_U55_High_End_Embedded")
    U55_256 = ("ethos-u55-256", "Ethos_U55_High_End_Embedded")
    U65_512 = ("ethos-u65-512", "Ethos_U65_High_End")
    U85_256 = ("ethos-u85-256", "Ethos_U85_SYS_DRAM_Mid")
    U85_1024 = ("ethos-u85-1024", "Ethos_U85_SYS_DRAM_Mid")


DEFAULT_ACCELERATOR = Accelerator.U55_256
