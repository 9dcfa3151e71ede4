"""What annotations need where jaxtyping is not installed: `Float[Array, "..."]` is `Array`.

Shapes are checked in tests only, and those have the real package.
`experiments/train/minimal_install.py` puts this folder behind all others on the path.
"""

from typing import Any


class _Annotation:
    """Forget the shape, keep the array type."""

    def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
        return item[0]


Bool = Float = Float32 = Int = Int8 = Int32 = Integer = Num = Shaped = _Annotation
UInt8 = UInt32 = UInt64 = _Annotation
