"""Where native code finds what it reads: fields of PyArrayObject, words of a function's state, workspaces."""

from __future__ import annotations

from enum import IntEnum

OBJECT_TYPE, ARRAY_DATA, ARRAY_RANK, ARRAY_SHAPE, ARRAY_DTYPE, ARRAY_FLAGS = 8, 16, 24, 32, 56, 64
CONTIGUOUS_AND_ALIGNED = 0x101
# The header in front of each workspace: the next free one, then its bytes.
WORKSPACE_NEXT, WORKSPACE_BYTES = -64, -56


class State(IntEnum):
    """Words of the state array. WORKSPACES heads the list of free workspaces, guarded by the GIL."""

    ARRAY_TYPE = 0
    DTYPES = 1
    EMPTY = 6
    INCREF = 7
    DECREF = 8
    NEW_TUPLE = 9
    SET_ITEM = 10
    NONE = 11
    SAVE_THREAD = 12
    RESTORE_THREAD = 13
    WORKSPACES = 14
    CONTEXT = 15
