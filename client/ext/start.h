// Switching the client on in this process. Freestanding.
#pragma once

#include <cstdint>

namespace pycds::ext {

// Finds the interpreter's identity and takes over SourceFileLoader.get_code and what goes with it.
// The daemon is asked for images when the first module is, so that a process that imports nothing
// pays for nothing; if there are none, what was taken over is given back. Does its work once per
// process; later calls do nothing. Call with the GIL held, in the main interpreter. Never raises:
// whatever goes wrong leaves Python as it was.
void start_client();

// Asks the daemon now, unless that has been done.
void attach_now();

// nullptr while images are served; else why not, as a short stable name.
const char* refusal();

// Where this process has the interpreter: "fixed", where every one has it; "common", where all of
// `pycdsctl run` have it; "random". The last also where it was not looked at.
const char* interpreter_layout();

// How long it took to ask the daemon (successful or not), to map its images, and to make their
// strings those of this process; 0 for what was not done.
struct AttachTimes {
    uint64_t ask_ns = 0;
    uint64_t map_ns = 0;
    uint64_t intern_ns = 0;
};
const AttachTimes& attach_times();

}  // namespace pycds::ext
