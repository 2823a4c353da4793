/* What the answers of internals_3_NN.h have had in common since 3.12. Sources: Include/internal/pycore_{runtime,
 * interp,tracemalloc}.h of 3.12.1 and 3.13.5, pycore_{runtime_structs,interp_structs}.h of 3.14.8. */
#pragma once

static int version_import_is_watched(PyInterpreterState *interp) {
    for (int tool = 0; tool < PY_MONITORING_TOOL_IDS; ++tool) {
        if (interp->monitoring_tool_names[tool] != NULL) return 1;
    }
    return _PyRuntime.audit_hooks.head != NULL || _PyRuntime.tracemalloc.config.tracing != 0 ||
           interp->active_code_watchers != 0;
}

static PyObject *version_interned_dict(PyInterpreterState *interp) {
    return interp->cached_objects.interned_strings;
}
