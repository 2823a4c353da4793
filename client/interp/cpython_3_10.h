// CPython 3.10: object layouts and what of them is written at run time.
// Sources: see before_3_11.h.
#pragma once

#include <Python.h>

#define PYCDS_LINE_TABLE co_linetable
#include "client/interp/before_3_11.h"

namespace pycds::interp {

// Each frozenset() is an object of its own.
inline constexpr bool kEmptyFrozensetIsSingleton = false;

}  // namespace pycds::interp
