/* CPython 3.10's answers for internals.c. */
#pragma once

#include "client/interp/internals_before_3_11.h"
