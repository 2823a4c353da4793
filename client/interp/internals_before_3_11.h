/* What 3.9 and 3.10 answer alike. Sources: Include/internal/pycore_{interp,gc}.h, Objects/{typeobject,
 * unicodeobject}.c of 3.9.18 and 3.10.13. */
#pragma once

#include "client/interp/internals_before_3_12.h"

/* Line tables have no columns that one could leave out. */
#define VERSION_HAS_NO_DEBUG_RANGES 1

/* Names that are compared by _PyUnicode_EqualToASCIIId(): a string that is marked as interned and is not
 * the one of its identifier's is not equal to it. */
#define VERSION_HAS_COMPARED_NAMES 1
static const char version_compared_names[][sizeof "__newobj_ex__"] = {
    "NFC", "NFD", "NFKC", "NFKD", "__class__", "__classcell__", "__dict__", "__newobj__",
    "__newobj_ex__", "__qualname__", "__weakref__", "big", "builtins", "little",
};

/* Those, and the arguments of _PyDict_GetItemIdWithError() and of what calls it (_PySys_GetObjectId(),
 * _PyEval_GetBuiltinId()). Both assert that their hash is known. */
static const char version_hashed_names[][sizeof "__asyncio_running_event_loop__"] = {
    "NFC", "NFD", "NFKC", "NFKD", "Py_Repr", "__abc_tpflags__", "__abstractmethods__",
    "__annotations__", "__asyncio_running_event_loop__", "__build_class__", "__builtins__",
    "__class__", "__class_getitem__", "__classcell__", "__dict__", "__dir__", "__doc__",
    "__file__", "__getattr__", "__hash__", "__import__", "__init_subclass__", "__loader__",
    "__module__", "__name__", "__new__", "__newobj__", "__newobj_ex__", "__package__", "__path__",
    "__qualname__", "__reduce__", "__slotnames__", "__slots__", "__spec__", "__warningregistry__",
    "__weakref__", "_abstract_", "_argtypes_", "_errcheck_", "_fields_", "_flags_", "_iterdump",
    "_needs_com_addref_", "_restype_", "_type_", "big", "builtins", "displayhook", "excepthook",
    "fillvalue", "getattr", "iter", "little", "metaclass", "modules", "options", "path", "ps1",
    "ps2", "reversed", "stderr", "stdin", "stdout", "unraisablehook", "version",
};

/* The number of a class counts while a flag says so, which a look-up sets. */
#define VERSION_TYPE_VERSION_HAS_FLAG 1
