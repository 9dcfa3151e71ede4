"""What annotations need where jaxtyping is not installed: `Float[Array, "..."]` is `Array`.

Shapes are checked in tests only, and those have the real package.
`experiments/train/minimal_install.py` puts this folder behind all others on the path.
"""

from typing import Any


class _Annotation:
    """Forget the shape, keep the array type."""

    def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
        return item[0]


Bool = Float = Float32 = Float64 = Int = Int8 = Int16 = Int32 = Int64 = _Annotation
Integer = Num = Shaped = _Annotation
UInt8 = UInt32 = UInt64 = _Annotation
