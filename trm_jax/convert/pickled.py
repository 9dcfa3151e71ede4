"""Pickles of PyTorch read as data: nothing that is named in them is imported or called.

A pickle is a program that names functions by module and calls them. This reader knows the handful
that a state_dict needs, tensors of PyTorch and arrays of NumPy, and what it puts in their place
makes records (`StoredTensor`) that say where the numbers are. Every other name becomes an `Unread`,
whatever is called with it: hyper-parameters, optimisers and callbacks of a trainer pass as things
that nobody looked into.

The unpickler is the standard library's one written in Python: the one in C makes room for as many
remembered objects as a damaged byte asks for. Sizes are Python's integers until they are compared
with the bytes that the file has.

Not here: the files around a pickle (torch_files.py), which tensor means what (name_table.py).
"""

import io
import math
import mmap
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import jax.numpy as jnp
import numpy as np

DTYPES = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(jnp.bfloat16),
    "int64": np.dtype(np.int64),
    "int32": np.dtype(np.int32),
    "int16": np.dtype(np.int16),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "bool": np.dtype(np.bool_),
}
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
ODD_TENSORS = {
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor of the meta device, which has no numbers",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device",
    "_rebuild_wrapper_subclass": "a tensor of another class",
}
"""What cannot be read, in words, by the function that would make it."""

MAX_AXES = 8  # of a tensor; weights have two at most
PLAIN = (str, int, float, bool, type(None))
"""Keys of dicts that are kept; none of them takes long to hash."""

NUMPY_CODE = re.compile(r"[<>=|]?([fiub])([1248])")


class Latin:
    """Bytes that the oldest protocol writes as a text."""

    __slots__ = ("text",)

    def __init__(self, text: str, encoding: str = "") -> None:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("a text in another encoding than latin1")
        self.text = text


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the file describes it.

    Attributes:
      source: key of its storage, or the bytes themselves (of an array of NumPy).
      dtype: its name, as PyTorch has it.
      numel: values that the storage is said to have; None: as many as its bytes hold.
      offset, shape, stride: of its values in the storage, counted in values.
    """

    source: str | bytes | Latin
    dtype: str
    numel: int | None
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return DTYPES[self.dtype].itemsize

    def check(self, name: str, held: int) -> None:
        """Compare what is described with what there is.

        Args:
          name: for the message.
          held: bytes of the storage.

        Raises:
          ValueError: a dtype that is no number format of a weight, or sizes that the storage does
            not have.
        """
        if self.dtype not in DTYPES:
            raise ValueError(f"{name!r} is {self.dtype}, not one of {', '.join(DTYPES)}")
        sizes = (*self.shape, *self.stride, self.offset)
        if any(type(size) is not int or size < 0 for size in sizes):
            raise ValueError(f"{name!r} has no valid sizes: {self.shape}, strides {self.stride}")
        if len(self.shape) != len(self.stride) or len(self.shape) > MAX_AXES:
            raise ValueError(f"{name!r} has {len(self.shape)} axes, {len(self.stride)} strides")
        if self.numel not in (None, held // self.itemsize) or held % self.itemsize:
            raise ValueError(f"{name!r}: {held} bytes for {self.numel} values of {self.dtype}")
        size = math.prod(self.shape)
        spans = zip(self.shape, self.stride, strict=True)
        last = self.offset + sum((axis - 1) * stride for axis, stride in spans)
        if size and max(size, last + 1) * self.itemsize > held:
            raise ValueError(
                f"{name!r} of shape {self.shape} does not fit its storage of {held} bytes"
                " (an expanded tensor, or a damaged file)"
            )

    @property
    def own_bytes(self) -> bytes | None:
        """The bytes of an array of NumPy; None where they are in a storage of the file."""
        if isinstance(self.source, Latin):
            return self.source.text.encode("latin1")
        return self.source if isinstance(self.source, bytes) else None

    def values(self, data: bytes | memoryview) -> np.ndarray:
        """Cut the values out of the bytes of the storage, which `check` has passed."""
        flat = np.frombuffer(data, DTYPES[self.dtype])[self.offset :]
        steps = tuple(stride * self.itemsize for stride in self.stride)
        return np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)


class Unread:
    """Stands for a class or function of the pickle that this reader does not know.

    Calling it, or making an object of it, gives the same again; nothing that is put in is kept.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: object, **__: object) -> "Unread":
        """Be what the call would have made."""
        return self

    def append(self, _: object) -> None:
        """Take an item of a list and drop it."""

    @property
    def said(self) -> str:
        """What it is, in words."""
        return ODD_TENSORS.get(self.name.rpartition(".")[2], f"an object of {self.name[:80]}")


class ArrayInMaking:
    """An array of NumPy between its two opcodes: an empty one, then its state."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: StoredTensor | None = None

    def set(self, state: Any) -> None:
        """Take (version, shape, dtype, is Fortran's order, bytes)."""
        _, shape, dtype, is_fortran, data = state
        self.state = _dense(data, dtype, _size(shape), is_fortran=is_fortran is True)


class StorageKind:
    """The class of a storage, as the persistent id of a tensor names it."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class TorchUnpickler(pickle._Unpickler):
    """Reads one pickle of a PyTorch file.

    The operations below replace the standard ones where those call a class, change an object, hash
    a key that somebody made costly, or make room for as many bytes as a number says.
    """

    stack: list[Any]  # these are the base class's, which has no types
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: io.BytesIO | mmap.mmap) -> None:
        super().__init__(cast(Any, file), encoding="utf-8")
        self.seen: dict[str, tuple[str, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up in the list of those that are known."""
        return known_name(module, name)

    def get_extension(self, code: int) -> None:
        """Refuse numbers that stand for classes of another program."""
        raise pickle.UnpicklingError(f"extension {code}")

    def persistent_load(self, pid: Any) -> Any:
        """Read the description of a storage: ('storage', class, key, device, number of values)."""
        kind, storage, key, _, numel = pid[:5]
        if kind != "storage" or type(numel) is not int or not isinstance(storage, StorageKind):
            raise pickle.UnpicklingError("a persistent id that is no storage")
        if type(key) not in (str, int):
            raise pickle.UnpicklingError("a storage without a name")
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a storage that is a view of another")
        self.seen[str(key)] = (storage.dtype, numel)
        return (storage.dtype, str(key), numel)

    def load_build(self) -> None:
        """Give an object its state; only arrays of NumPy have one that matters here."""
        state = self.stack.pop()
        if isinstance(target := self.stack[-1], ArrayInMaking):
            target.set(state)

    def load_newobj(self) -> None:
        """Make an object of a class."""
        arguments = self.stack.pop()
        self.append(self.stack.pop()(*arguments))

    def load_newobj_ex(self) -> None:
        """Make an object of a class, with arguments by name."""
        self.stack.pop()
        self.load_newobj()

    def load_setitem(self) -> None:
        """Put an item into a dict."""
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def load_setitems(self) -> None:
        """Put items into a dict."""
        self._put(self.pop_mark())

    def _put(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((key, value) for key, value in pairs if type(key) in PLAIN)
        elif not isinstance(target, Unread):
            raise pickle.UnpicklingError("items of what is no dict")

    def load_additems(self) -> None:
        """Drop items of a set."""
        self.pop_mark()

    def load_frozenset(self) -> None:
        """Drop a frozen set."""
        self.pop_mark()
        self.append(Unread("builtins.frozenset"))

    def load_bytearray8(self) -> None:
        """Read bytes, as many as there are."""
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))

    dispatch: ClassVar[dict[int, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        **pickle._Unpickler.dispatch,
        pickle.BUILD[0]: load_build,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


def _dense(
    data: Any, dtype: Any, shape: tuple[int, ...], *, is_fortran: bool = False
) -> StoredTensor:
    """Describe an array of NumPy by its bytes."""
    if not isinstance(data, bytes | Latin) or not isinstance(dtype, str) or len(shape) > MAX_AXES:
        raise pickle.UnpicklingError("an array of NumPy that does not hold plain numbers")
    axes = shape if is_fortran else shape[::-1]
    steps = [1]
    for axis in axes[:-1]:
        steps.append(steps[-1] * axis)
    stride = tuple(steps if is_fortran else steps[::-1]) if shape else ()
    return StoredTensor(data, dtype, None, 0, shape, stride)


def _numpy_dtype(code: Any = "", *_: object) -> str:
    """Name a dtype as PyTorch does: f4 is float32. Big-endian ones become unknown."""
    match = NUMPY_CODE.fullmatch(code) if isinstance(code, str) else None
    if match is None or code.startswith(">"):
        return f"NumPy's {code!r}"
    kind, size = match[1], int(match[2])
    named = {"f": f"float{8 * size}", "i": f"int{8 * size}", "u": f"uint{8 * size}", "b": "bool"}
    return named[kind]


def _rebuild_tensor(storage: Any, offset: int, shape: Any, stride: Any, *_: object) -> StoredTensor:
    dtype, key, numel = storage
    return StoredTensor(key, dtype, numel, offset, _size(shape), _size(stride))


def _rebuild_untyped(
    storage: Any,
    offset: int,
    shape: Any,
    stride: Any,
    _: object,
    __: object,
    dtype: Any,
    *___: object,
) -> StoredTensor:
    _, key, _ = storage
    name = dtype.name if isinstance(dtype, Unread) else str(dtype)
    return StoredTensor(key, name.removeprefix("torch."), None, offset, _size(shape), _size(stride))


def _first(value: Any, *_: object) -> Any:
    return value


def _rebuild_from_type(function: Any, _: object, arguments: Any, *__: object) -> Any:
    return function(*arguments)


def _numpy_scalar(dtype: Any, data: Any = b"") -> StoredTensor:
    return _dense(data, dtype, ())


def _numpy_frombuffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> StoredTensor:
    return _dense(data, dtype, _size(shape), is_fortran=order == "F")


def _empty_array(*_: object) -> ArrayInMaking:
    return ArrayInMaking()


def _empty_dict(*_: object) -> dict[Any, Any]:
    return {}


def _size(axes: Any = ()) -> tuple[Any, ...]:
    if len(axes) > MAX_AXES:
        raise pickle.UnpicklingError(f"a shape of {len(axes)} axes")
    return tuple(axes)


KNOWN: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _empty_dict,
    "collections.defaultdict": _empty_dict,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_untyped,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch.Size": _size,
    "_codecs.encode": Latin,
    "numpy.dtype": _numpy_dtype,
    "numpy.core.multiarray._reconstruct": _empty_array,
    "numpy._core.multiarray._reconstruct": _empty_array,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.core.numeric._frombuffer": _numpy_frombuffer,
    "numpy._core.numeric._frombuffer": _numpy_frombuffer,
}
"""Every name that is not an `Unread`, and what stands in its place: all of it is in this file."""


def known_name(module: str, name: str) -> Any:
    """Give what stands in the place of a name of the pickle."""
    full = f"{module}.{name}"
    if module in ("torch", "torch.storage") and name.endswith("Storage"):
        return StorageKind(STORAGES.get(name, name))
    return KNOWN.get(full) or Unread(full)


class Pickled(NamedTuple):
    """What a pickle holds, and the storages that it names: key -> dtype, number of values."""

    root: Any
    storages: dict[str, tuple[str, int]]


def read_pickle(file: io.BytesIO | mmap.mmap) -> Pickled:
    """Read one pickle.

    Raises:
      ValueError: damaged, or not a pickle that PyTorch writes.
    """
    try:
        unpickler = TorchUnpickler(file)
        return Pickled(unpickler.load(), unpickler.seen)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except MemoryError:
        raise ValueError("it asks for more memory than there is") from None
    except Exception as error:  # a damaged pickle can fail in any way
        said = str(error).strip().splitlines()
        raise ValueError(said[0][:120] if said else type(error).__name__) from error
