/* CPython 3.11's answers for internals.c. */
#pragma once

#include "client/interp/internals_before_3_12.h"

/* Arguments of _PyDict_GetItemIdWithError(), which asserts that their hash is known
 * (Modules/_asynciomodule.c, Modules/_ctypes/_ctypes.c). */
static const char *const version_hashed_names[] = {
    "__asyncio_running_event_loop__", "_type_",    "_flags_", "_argtypes_",
    "_restype_",                      "_errcheck_", "options", "_fields_",
};
