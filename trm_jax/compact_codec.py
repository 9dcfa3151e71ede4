"""Compact forms of training tensors, byte by byte. All numbers are little-endian.

Values are taken in row-major order, B = 256 of them to a block (the last one may be shorter).

    float32   4 bytes a value.
    delta16   2 bytes a value: bfloat16 of (value - base), base being another tensor. For the
              average, whose base are the parameters.
    log8      for each block 8 bytes: float32 lo, float32 step; after all of these 1 byte a
              value: code 0 is 0, code c > 0 is 2^(lo + step (c - 1)). lo and lo + 254 step are
              the logarithms of the block's least and greatest value that is not 0. For second
              moments: none becomes 0 that was not, so no direction turns into that of an
              unseen weight.
    ratio8    4 bytes: float32 scale; then 1 byte a value: int8 code c stands for
              c / 127 scale sqrt(v), v being the decoded second moment. For first moments: |m|
              is at most (1-b1) / sqrt((1-b2)(1-b1^2/b2)) sqrt(v) = 1.165 sqrt(v) at the
              released b1, b2, and the ratio is what gives Adam its direction; half a code is
              0.4 % of its greatest value.
    zlib      a text: UTF-8, deflated.
"""

import zlib

import jax.numpy as jnp
import numpy as np

BLOCK = 256
LEVELS = 254  # steps between the codes 1 and 255
FLOAT = np.dtype("<f4")
BFLOAT = np.dtype(jnp.bfloat16)

Shape = tuple[int, ...]


def encode_float32(values: np.ndarray) -> bytes:
    """Write the values as they are."""
    return np.ascontiguousarray(values, FLOAT).tobytes()


def decode_float32(data: bytes, shape: Shape) -> np.ndarray:
    """Read the values back, exactly."""
    return np.frombuffer(data, FLOAT).reshape(shape)


def encode_delta16(values: np.ndarray, base: np.ndarray) -> bytes:
    """Write the difference to `base`; its relative error is at most 2^-8."""
    return (np.asarray(values, np.float32) - base).astype(BFLOAT).tobytes()


def decode_delta16(data: bytes, base: np.ndarray) -> np.ndarray:
    """Add the difference to `base`."""
    return base + np.frombuffer(data, BFLOAT).reshape(base.shape).astype(np.float32)


def _block_starts(size: int) -> np.ndarray:
    return np.arange(0, size, BLOCK)


def encode_log8(values: np.ndarray) -> bytes:
    """Write the logarithms of values that are 0 or positive.

    Raises:
      ValueError: a value is negative or not finite.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    if flat.size and not (flat.min() >= 0 and np.isfinite(flat).all()):
        raise ValueError("log8 takes finite values of 0 or more; these hold others")
    positive = flat > 0
    logs = np.log2(flat, where=positive, out=np.zeros_like(flat))
    starts = _block_starts(flat.size)
    low = np.minimum.reduceat(np.where(positive, logs, np.inf), starts)
    high = np.maximum.reduceat(np.where(positive, logs, -np.inf), starts)
    empty = np.isinf(low)  # a block of zeros
    low, high = np.where(empty, 0, low), np.where(empty, 0, high)
    header = np.stack([low, (high - low) / LEVELS], axis=1).astype(FLOAT)
    lo, step = np.repeat(header.astype(np.float64), BLOCK, axis=0)[: flat.size].T
    place = np.divide(logs - lo, step, where=step > 0, out=np.zeros_like(flat))
    codes = np.where(positive, 1 + np.clip(np.rint(place), 0, LEVELS), 0).astype(np.uint8)
    return header.tobytes() + codes.tobytes()


def decode_log8(data: bytes, shape: Shape) -> np.ndarray:
    """Read `encode_log8` back; the relative error of a value is at most 2^(step / 2) - 1."""
    size = int(np.prod(shape))
    blocks = len(_block_starts(size))
    header = np.frombuffer(data, FLOAT, 2 * blocks).reshape(blocks, 2)
    codes = np.frombuffer(data, np.uint8, size, offset=header.nbytes)
    lo, step = np.repeat(header, BLOCK, axis=0)[:size].T
    powers = np.exp2(lo + step * (codes.astype(np.float32) - 1))
    return np.where(codes > 0, powers, np.float32(0)).reshape(shape)


def encode_ratio8(values: np.ndarray, second: np.ndarray) -> bytes:
    """Write first moments relative to the roots of the second ones; 0 where those are 0."""
    root = np.sqrt(np.asarray(second, np.float64))
    ratio = np.divide(values, root, where=root > 0, out=np.zeros(root.shape))
    scale = FLOAT.type(np.abs(ratio).max(initial=0.0))
    codes = np.rint(ratio * (127 / scale)) if scale > 0 else np.zeros(root.shape)
    return scale.tobytes() + np.clip(codes, -127, 127).astype(np.int8).tobytes()


def decode_ratio8(data: bytes, second: np.ndarray) -> np.ndarray:
    """Read `encode_ratio8` back.

    Args:
      second: the second moments as decoded, so that the ratio is kept, not the size.
    """
    scale = np.frombuffer(data, FLOAT, 1)[0]
    codes = np.frombuffer(data, np.int8, offset=4).reshape(second.shape).astype(np.float32)
    return codes * (scale / np.float32(127)) * np.sqrt(second, dtype=np.float32)


def encode_zlib(text: str) -> bytes:
    """Deflate a text."""
    return zlib.compress(text.encode(), 9)


def decode_zlib(data: bytes) -> str:
    """Inflate a text."""
    return zlib.decompress(data).decode()
