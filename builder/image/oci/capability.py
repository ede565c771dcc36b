"""File capabilities in the form that the kernel reads from the attribute `security.capability`.

Source: linux/capability.h, `struct vfs_cap_data` of VFS_CAP_REVISION_2, which is what `setcap CAP+ep FILE` writes: 20
bytes in little-endian order, the revision with the "effective" flag, then permitted and inheritable sets, low 32 bits
first. (Revision 3 adds the root user of a user namespace, which an image cannot know.)
"""

import struct
from collections.abc import Iterable

from builder.recipe.image_shapes import CAPABILITIES

XATTR = "security.capability"
_REVISION_2 = 0x02000000
_EFFECTIVE = 0x000001
_BITS = {name: 1 << number for number, name in enumerate(CAPABILITIES)}


def encode(names: Iterable[str]) -> bytes:
    """The attribute's value that permits the capabilities `names` and makes them effective."""
    bits = sum({_BITS[name] for name in names})
    return struct.pack("<5I", _REVISION_2 | _EFFECTIVE, bits & 0xFFFFFFFF, 0, bits >> 32, 0)
