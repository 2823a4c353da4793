// Switching the client on in this process. Freestanding.
#pragma once

namespace pycds::ext {

// Finds the interpreter's identity, attaches to a daemon, maps its images and takes over
// SourceFileLoader.get_code. Does its work once per process; later calls do nothing. Call with the
// GIL held, in the main interpreter. Never raises: whatever goes wrong leaves Python as it was.
void start_client();

// nullptr while images are served; else why not, as a short stable name.
const char* refusal();

}  // namespace pycds::ext
